"""Onsets: the peaks of the onset strength, picked one after another; librosa 0.11's."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.compiling import compiled

HIGHER_THAN_MEAN = 0.07
"""By this much of the track's range of strengths."""

AROUND_S, BEFORE_S, APART_S = 0.10, 0.03, 0.03
"""Whose mean an onset exceeds to both sides, whose maximum it is, and what two onsets lie apart."""


def onset_frames(strength: NDArray[np.float32], sample_rate: int, hop_length_samples: int) -> NDArray[np.int64]:
    """The frames at which something starts to sound.

    Args:
        strength: (frame,) the mean rise in dB.

    Returns:
        (onset,) ascending; none where the strength is the same throughout, or not finite.
        Source: Böck, Krebs & Schedl 2012. Same as librosa.onset.onset_detect.
    """
    if not np.isfinite(strength).all() or (strength == strength[0]).all():
        return np.empty(0, np.int64)
    above = strength - strength.min()
    above /= above.max() + np.finfo(np.float32).tiny
    before, apart, around = (
        int(seconds * sample_rate // hop_length_samples) for seconds in (BEFORE_S, APART_S, AROUND_S)
    )
    return picked_peaks(above, before, apart, around)


@compiled
def picked_peaks(strength: NDArray[np.float32], before: int, apart: int, around: int) -> NDArray[np.int64]:
    """Frames that are as high as the `before` ones before them, higher than the mean of `around` on both sides, and
    more than `apart` after the last one picked. What is picked depends on what was: a loop, on any device's values."""
    n_frames = len(strength)
    peaks = np.empty(n_frames, np.int64)
    count, frame = 0, 0
    while frame < n_frames:
        is_peak = True
        for number in range(max(0, frame - before), frame):
            is_peak = is_peak and strength[number] <= strength[frame]
        if is_peak and strength[frame] >= _mean_around(strength, frame, around) + HIGHER_THAN_MEAN:
            peaks[count] = frame
            count += 1
            frame += apart
        frame += 1
    return peaks[:count]


@compiled
def _mean_around(strength: NDArray[np.float32], frame: int, around: int) -> float:
    # In float32, as librosa adds.
    total = np.float32(0.0)
    first, end = max(0, frame - around), min(len(strength), frame + around + 1)
    for number in range(first, end):
        total += strength[number]
    return float(total / (end - first))
