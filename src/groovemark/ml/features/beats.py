"""Beats, found by dynamic programming over the onset strength; librosa 0.11's, with its defaults."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.compiling import compiled

TIGHTNESS = 100.0
"""What a beat off the tempo costs, in the strength's standard deviations: times the squared logarithm of how far."""

Frames = NDArray[np.int64]
Score = NDArray[np.float64]


def beat_frames(strength: NDArray[np.float32], tempo_bpm: float, sample_rate: int, hop_length_samples: int) -> Frames:
    """The frames on which the beats of a steady tempo fall.

    Args:
        strength: (frame,) the median rise in dB.

    Returns:
        (beat,) ascending; none where nothing rises, or the strength is not finite. Source: Ellis 2007, "Beat tracking
        by dynamic programming". Same as librosa.beat.beat_track.
    """
    if not strength.any() or not np.isfinite(strength).all():
        return np.empty(0, np.int64)
    period = round(sample_rate / hop_length_samples * 60.0 / tempo_bpm)
    # The deviation in float32, as librosa takes it: all that follows is in float64.
    scaled = strength / (strength.std(ddof=1) + np.finfo(np.float32).tiny)
    bell = np.exp(-0.5 * (np.arange(-period, period + 1) * 32.0 / period) ** 2)
    local = np.convolve(scaled.astype(np.float64), bell)[period : period + len(strength)]
    predecessors, total = best_predecessors(local, period)
    beats, frame = [], _last_beat(total)
    while frame >= 0:
        beats.append(frame)
        frame = predecessors[frame]
    return _trimmed(np.array(beats[::-1]), local)


@compiled
def best_predecessors(local: Score, period: int) -> tuple[Frames, Score]:
    """For each frame the beat half to two periods before it that scores best, −1 where there is none; and the score
    of the best sequence of beats that ends there. Each depends on those before it: a loop, on any device's values."""
    cost = np.zeros(2 * period + 1, np.float64)
    for distance in range(1, len(cost)):
        cost[distance] = TIGHTNESS * (np.log(distance) - np.log(period)) ** 2
    nearest = (period + period // 2 % 2) // 2  # halves go to the even neighbour
    predecessors, total = np.empty(len(local), np.int64), np.empty(len(local), np.float64)
    loudest = local[0]
    for frame in range(1, len(local)):
        loudest = max(loudest, local[frame])
    is_before_first = True
    for frame in range(len(local)):
        best, best_score = -1, -np.inf
        for distance in range(nearest, min(2 * period, frame) + 1):
            score = total[frame - distance] - cost[distance]
            if score > best_score:
                best, best_score = frame - distance, score
        total[frame] = local[frame] + (best_score if best >= 0 else 0.0)
        is_before_first = is_before_first and local[frame] < 0.01 * loudest
        predecessors[frame] = -1 if is_before_first else best
    return predecessors, total


def _last_beat(total: Score) -> int:
    """The last local maximum of at least half the median of all; the last frame where there is none."""
    rises = np.append(total[1:] > total[:-1], False)  # the next frame is higher
    peaks = 1 + np.flatnonzero(rises[:-1] & ~rises[1:])
    high = peaks[total[peaks] >= 0.5 * np.median(total[peaks])] if len(peaks) else peaks
    return int(high[-1]) if len(high) else len(total) - 1


def _trimmed(beats: Frames, local: Score) -> Frames:
    """Without the first and the last beats where little is heard: below half the root mean square of all, smoothed."""
    smooth = np.convolve(local[beats], [0.0, 0.5, 1.0, 0.5, 0.0])[2 : 2 + len(local)]
    loud = np.flatnonzero(local > 0.5 * np.sqrt((smooth * smooth).mean()))
    return beats[(beats >= loud[0]) & (beats <= loud[-1])] if len(loud) else beats[:0]
