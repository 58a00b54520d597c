"""How far a track is from A = 440 Hz, in one of 100 steps of a semitone or of a part of it; librosa 0.11's numbers."""

from __future__ import annotations

import torch
from torch import Tensor

from groovemark.ml.features.filterbanks import A440_HZ, TUNING_EDGES

LOWEST_HZ = 150.0
HIGHEST_HZ = 4000.0
N_STEPS = 100
SEMITONES = 12
IN_TUNE = 50


def tuning_steps(power: Tensor, sample_rate: int, bins_per_octave: int = SEMITONES) -> Tensor:
    """The step in which most of a track's spectral peaks lie, counted from their nearest bin of an octave.

    Peaks are local maxima between 150 and 4,000 Hz above a tenth of their frame's maximum, placed by a
    parabola through three bins; only the louder half counts.

    Args:
        power: (batch, frame, frequency). librosa's chroma takes the power spectrum for a magnitude here; so
            do we. Its constant-Q transform takes the magnitude.
        bins_per_octave: 12 for semitones.

    Returns:
        (batch,) integers 0..99, an index into TUNING_EDGES; 50 (in tune) without any peak.
        Source: librosa.estimate_tuning; the parabola is Smith 2011's, "Spectral audio signal processing".
    """
    lowest, highest, bin_hz = searched_bins(2 * (power.shape[-1] - 1), sample_rate)
    loudest = power.amax(dim=-1, keepdim=True)
    audible = torch.where(power > 0.1 * loudest, power, 0.0)[..., lowest - 1 : highest + 1]
    here = audible[..., 1:-1]  # (batch, frame, peak candidate)
    is_peak = (here > audible[..., :-2]) & (here >= audible[..., 2:]) & (here > 0)
    counts = is_peak.flatten(1).sum(dim=1)  # (batch,)
    items, frames, candidates = torch.nonzero(is_peak, as_tuple=True)  # (peak,) each
    left, here, right = (power[items, frames, candidates + lowest + offset] for offset in (-1, 0, 1))
    curvature, slope = right + left - 2 * here, (right - left) / 2
    shift = torch.where(slope.abs() >= curvature.abs(), 0.0, -slope / curvature)
    pitches_hz = ((candidates + lowest).double() + shift) * bin_hz
    heights = here + 0.5 * slope * shift
    places = items * N_STEPS + steps_of_pitches(pitches_hz, bins_per_octave)
    is_loud = heights >= _medians(items, heights, counts)[items]
    histogram = places.new_zeros(len(power) * N_STEPS).scatter_add_(0, places, is_loud.long())
    return torch.where(counts == 0, IN_TUNE, histogram.view(-1, N_STEPS).argmax(dim=1))


def searched_bins(n_fft: int, sample_rate: int) -> tuple[int, int, float]:
    """The first bin in which peaks are looked for, the bin after the last, and the width of a bin in Hz."""
    lowest = int(LOWEST_HZ * n_fft // sample_rate) + 1
    highest = int(-(-HIGHEST_HZ * n_fft // sample_rate))
    return lowest, highest, sample_rate / n_fft


def _medians(items: Tensor, heights: Tensor, counts: Tensor) -> Tensor:
    """(batch,) of each item's heights: items, (peak,) ascending, says whose each one is; counts, how many are whose."""
    # Heights are positive, and such floats ascend as the integers of their bits do. The bit of the sign can be that of
    # a NaN alone, which must stay among its own item's.
    bits = heights.view(torch.int32) & 0x7FFF_FFFF
    ascending = ((items << 32) | bits).sort().values & 0x7FFF_FFFF
    ascending = torch.cat([ascending, ascending.new_zeros(1)])  # so that an item without peaks has a place to look
    first = counts.cumsum(dim=0) - counts
    lower, upper = (
        ascending[first + (counts - less).clamp_min(0) // 2].to(torch.int32).view(torch.float32) for less in (1, 0)
    )
    return (upper + lower) / 2


def commonest_step(pitches_hz: Tensor, heights: Tensor, bins_per_octave: int = SEMITONES) -> Tensor:
    """Where most of the louder half of a track's peaks lie: (peak,) float64, (peak,) → one integer."""
    if len(heights) == 0:
        return torch.tensor(IN_TUNE, device=heights.device)
    upper, lower = len(heights) // 2, (len(heights) - 1) // 2
    median = (heights.kthvalue(upper + 1).values + heights.kthvalue(lower + 1).values) / 2
    steps = steps_of_pitches(pitches_hz[heights >= median], bins_per_octave)
    return torch.bincount(steps, minlength=N_STEPS).argmax()


def steps_of_pitches(pitches_hz: Tensor, bins_per_octave: int) -> Tensor:
    """(peak,) float64 → (peak,) integers 0..99."""
    bins = torch.remainder(bins_per_octave * torch.log2(pitches_hz.float() / (A440_HZ / 16)), 1.0)
    residual = torch.where(bins >= 0.5, bins - 1.0, bins).double()
    edges = torch.as_tensor(TUNING_EDGES[1:-1], device=pitches_hz.device)
    return torch.bucketize(residual, edges, right=True)
