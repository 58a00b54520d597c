"""How far a track is from A = 440 Hz, in one of 100 steps of a semitone; librosa 0.11's numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from groovemark.ml.features.filterbanks import A440_HZ, TUNING_EDGES

LOWEST_HZ = 150.0
HIGHEST_HZ = 4000.0
IN_TUNE = 50


def tuning_steps(power: Tensor, sample_rate: int) -> Tensor:
    """The step in which most of a track's spectral peaks lie, counted from their nearest semitone.

    Peaks are local maxima between 150 and 4,000 Hz above a tenth of their frame's maximum, placed by a
    parabola through three bins; only the louder half counts.

    Args:
        power: (batch, frame, frequency). librosa's chroma takes the power spectrum for a magnitude here; so
            do we.

    Returns:
        (batch,) integers 0..99, an index into TUNING_EDGES; 50 (in tune) without any peak.
        Source: librosa.estimate_tuning; the parabola is Smith 2011's, "Spectral audio signal processing".
    """
    lowest, highest, bin_hz = searched_bins(2 * (power.shape[-1] - 1), sample_rate)
    loudest = power.amax(dim=-1, keepdim=True)
    audible = torch.where(power > 0.1 * loudest, power, 0.0)[..., lowest - 1 : highest + 1]
    here = audible[..., 1:-1]  # (batch, frame, peak candidate)
    is_peak = (here > audible[..., :-2]) & (here >= audible[..., 2:]) & (here > 0)
    steps = [
        commonest_step(*_peaks(one[:, lowest - 1 : highest + 1], peaks, lowest, bin_hz))
        for one, peaks in zip(power, is_peak, strict=True)
    ]
    return torch.stack(steps)


def searched_bins(n_fft: int, sample_rate: int) -> tuple[int, int, float]:
    """The first bin in which peaks are looked for, the bin after the last, and the width of a bin in Hz."""
    lowest = int(LOWEST_HZ * n_fft // sample_rate) + 1
    highest = int(-(-HIGHEST_HZ * n_fft // sample_rate))
    return lowest, highest, sample_rate / n_fft


def _peaks(power: Tensor, is_peak: Tensor, lowest: int, bin_hz: float) -> tuple[Tensor, Tensor]:
    """Pitches in Hz and heights; of one track: power (frame, candidate + 2), is_peak (frame, candidate)."""
    frame, candidate = torch.nonzero(is_peak, as_tuple=True)  # (peak,) each
    left, here, right = (power[frame, candidate + offset] for offset in range(3))
    curvature, slope = right + left - 2 * here, (right - left) / 2
    shift = torch.where(slope.abs() >= curvature.abs(), 0.0, -slope / curvature)
    return ((candidate + lowest).double() + shift) * bin_hz, here + 0.5 * slope * shift


def commonest_step(pitches_hz: Tensor, heights: Tensor) -> Tensor:
    """Where most of the louder half of a track's peaks lie: (peak,) float64, (peak,) → one integer."""
    if len(heights) == 0:
        return torch.tensor(IN_TUNE, device=heights.device)
    upper, lower = len(heights) // 2, (len(heights) - 1) // 2
    median = (heights.kthvalue(upper + 1).values + heights.kthvalue(lower + 1).values) / 2
    pitches_hz = pitches_hz[heights >= median].float()
    semitones = torch.remainder(12 * torch.log2(pitches_hz / (A440_HZ / 16)), 1.0)
    residual = torch.where(semitones >= 0.5, semitones - 1.0, semitones).double()
    edges = torch.as_tensor(TUNING_EDGES[1:-1], device=heights.device)
    return torch.bincount(torch.bucketize(residual, edges, right=True), minlength=100).argmax()
