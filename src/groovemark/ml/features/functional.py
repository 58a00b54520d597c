"""Spectral features as pure functions of (batch, …) tensors, on any device, in float32.

Axes are always (batch, frame, frequency), so that each frame's spectrum is contiguous. One short-time Fourier
transform is computed once and shared by whatever needs it. Nothing here looks across the batch: a track's
features do not depend on its neighbours. The numbers are librosa 0.11's at its defaults.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from groovemark.ml.features.median import running_median

TINY = torch.finfo(torch.float32).tiny
HARMONIC_WINDOW = 31
ROLLOFF_SHARE = 0.85


def stft(waveforms: Tensor, window: Tensor, hop_length_samples: int) -> Tensor:
    """Short-time Fourier transform of centred frames; beyond its ends a waveform is zero.

    Args:
        waveforms: (batch, time).
        window: (n_fft,).

    Returns:
        (batch, frame, frequency) complex, with 1 + time // hop frames. Same as librosa.stft, transposed.
    """
    n_fft = len(window)
    padded = pad(waveforms, (n_fft // 2, n_fft // 2))
    frames = padded.unfold(-1, n_fft, hop_length_samples) * window  # (batch, frame, n_fft)
    spectra: Tensor = torch.fft.rfft(frames)
    return spectra


def istft(spectra: Tensor, window: Tensor, hop_length_samples: int, length: int) -> Tensor:
    """Waveforms whose frames have these spectra in the least-squares sense: overlap-add over the summed w².

    Args:
        spectra: (batch, frame, frequency) complex.
        window: (n_fft,), n_fft a multiple of the hop.
        length: samples wanted, at most frame * hop.

    Returns:
        (batch, length). Source: Griffin & Lim 1984, eq. 6. Same as librosa.istft(..., length=length).
    """
    n_fft = len(window)
    overlap = n_fft // hop_length_samples
    frames = torch.fft.irfft(spectra, n=n_fft) * window  # (batch, frame, n_fft)
    batch, n_frames, _ = frames.shape
    pieces = frames.view(batch, n_frames, overlap, hop_length_samples)
    weights = (window * window).view(overlap, hop_length_samples)
    total = frames.new_zeros(batch, n_frames + overlap - 1, hop_length_samples)
    weight = frames.new_zeros(n_frames + overlap - 1, hop_length_samples)
    for piece in range(overlap):
        total[:, piece : piece + n_frames] += pieces[:, :, piece]
        weight[piece : piece + n_frames] += weights[piece]
    inside = slice(n_fft // 2, n_fft // 2 + length)
    waveforms: Tensor = total.flatten(1)[:, inside] / weight.flatten()[inside]
    return waveforms


def magnitude_and_power(spectra: Tensor) -> tuple[Tensor, Tensor]:
    """|X| and |X|² of (batch, frame, frequency) complex spectra."""
    parts = torch.view_as_real(spectra)
    power = (parts * parts).sum(dim=-1)
    return power.sqrt(), power


def banded_product(power: Tensor, groups: Sequence[tuple[int, Tensor]]) -> Tensor:
    """The product with a matrix of narrow columns, a group of neighbouring columns at a time.

    Args:
        power: (batch, frame, frequency).
        groups: the first bin that a group's columns use, and their rows from there: (bin, column).

    Returns:
        (batch, frame, all columns).
    """
    products = [power[..., start : start + len(matrix)] @ matrix for start, matrix in groups]
    return torch.cat(products, dim=-1)


def decibels(power: Tensor, *, floor_db: float = 80.0) -> Tensor:
    """10 log₁₀(power), at least −100 dB, and cut `floor_db` below each item's own maximum.

    Args:
        power: (batch, …), >= 0.

    Returns:
        (batch, …) in dB. The maximum is per item: over the batch, one loud track would change its neighbours.
        Same as librosa.power_to_db(power) on each item.
    """
    levels = 10.0 * torch.log10(power.clamp_min(1e-10))
    loudest = levels.amax(dim=tuple(range(1, levels.ndim)), keepdim=True)
    return torch.maximum(levels, loudest - floor_db)


def compressed(energy: Tensor) -> Tensor:
    """log₁₀(10,000 · energy + 1), >= 0: loudness for convolutional networks. Source: Pons & Serra 2019, MusiCNN."""
    return torch.log10(10_000.0 * energy + 1.0)


def _frame_sums(samples: Tensor, frame_length: int, hop_length_samples: int) -> Tensor:
    """Sums over overlapping frames, adding each hop's samples once.

    Args:
        samples: (batch, time), already padded.

    Returns:
        (batch, frame), 1 + (time − frame_length) // hop frames.
    """
    overlap = frame_length // hop_length_samples
    n_hops = samples.shape[1] // hop_length_samples
    whole = samples[:, : n_hops * hop_length_samples]
    hops = whole.reshape(len(samples), n_hops, hop_length_samples).sum(dim=-1)
    sums: Tensor = hops.unfold(1, overlap, 1).sum(dim=-1)  # (batch, frame)
    return sums


def root_mean_square(waveforms: Tensor, frame_length: int, hop_length_samples: int) -> Tensor:
    """√(mean of y²) of centred frames. (batch, time) → (batch, frame). Same as librosa.feature.rms(y=y)."""
    squares = pad(waveforms * waveforms, (frame_length // 2, frame_length // 2))
    return (_frame_sums(squares, frame_length, hop_length_samples) / frame_length).sqrt()


def zero_crossing_rate(waveforms: Tensor, frame_length: int, hop_length_samples: int) -> Tensor:
    """Share of samples of each centred frame whose sign differs from the sample before.

    Args:
        waveforms: (batch, time); what lies within 1e-10 of zero counts as positive, and beyond its ends a
            waveform keeps its outermost sample.

    Returns:
        (batch, frame) in 0..1. A frame's first sample has no predecessor. Same as librosa's.
    """
    half = frame_length // 2
    held = pad(waveforms[:, None], (half, half), mode="replicate")[:, 0]
    negative = held < -1e-10
    crossings = pad((negative[:, 1:] != negative[:, :-1]).to(waveforms.dtype), (1, 0))  # (batch, time + n_fft)
    counts = _frame_sums(crossings, frame_length, hop_length_samples)  # (batch, frame)
    at_first_sample = crossings[:, : counts.shape[1] * hop_length_samples : hop_length_samples]
    return (counts - at_first_sample) / frame_length


def spectral_centroid(magnitude: Tensor, frequencies: Tensor) -> Tensor:
    """Centre of mass of each frame's spectrum: Σ f|X| / Σ|X|.

    Args:
        magnitude: (batch, frame, frequency), >= 0.
        frequencies: (frequency,) bin centres in Hz.

    Returns:
        (batch, frame) in Hz; 0 where a frame is silent. Source: Klapuri & Davy 2007, ch. 5.
    """
    return (magnitude @ frequencies) / magnitude.sum(dim=-1).clamp_min(TINY)


def spectral_bandwidth(magnitude: Tensor, frequencies: Tensor, centroid: Tensor) -> Tensor:
    """Standard deviation of each frame's spectrum around its centroid: √(Σ (f − c)²|X| / Σ|X|).

    The direct form: Σf²|X| − c² would lose a pure tone's narrow band to cancellation.

    Args:
        magnitude: (batch, frame, frequency). centroid: (batch, frame) in Hz.

    Returns:
        (batch, frame) in Hz; 0 where a frame is silent.
    """
    deviation = frequencies - centroid[..., None]  # (batch, frame, frequency)
    spread = (deviation.square_().mul_(magnitude)).sum(dim=-1)
    return (spread / magnitude.sum(dim=-1).clamp_min(TINY)).sqrt()


def spectral_rolloff(magnitude: Tensor, frequencies: Tensor, share: float = ROLLOFF_SHARE) -> Tensor:
    """Frequency below which `share` of a frame's magnitude lies.

    Args:
        magnitude: (batch, frame, frequency).

    Returns:
        (batch, frame) in Hz, always a bin's centre; 0 where a frame is silent.
    """
    cumulative = magnitude.cumsum(dim=-1)
    below = (cumulative < share * cumulative[..., -1:]).sum(dim=-1)  # (batch, frame)
    return frequencies[below.clamp_max(len(frequencies) - 1)]


def spectral_contrast(magnitude: Tensor, bands: tuple[tuple[int, int, int], ...]) -> Tensor:
    """Peak minus valley, in dB, of each octave band: the means of its loudest and of its quietest 2 % of
    bins.

    Args:
        magnitude: (batch, frame, frequency).
        bands: first bin, end bin and number of extreme bins of each band (filterbanks.octave_bands).

    Returns:
        (batch, frame, band) in dB. Source: Jiang et al. 2002. As in librosa, magnitudes pass through the
        power formula, and the 80 dB floor is one for all peaks, one for all valleys of a track.
    """
    peaks, valleys = [], []
    for start, stop, extreme in bands:
        band = magnitude[..., start:stop]
        if extreme == 1:
            peaks.append(band.amax(dim=-1))
            valleys.append(band.amin(dim=-1))
        else:
            peaks.append(band.topk(extreme, sorted=False).values.mean(dim=-1))
            valleys.append(band.topk(extreme, largest=False, sorted=False).values.mean(dim=-1))
    return decibels(torch.stack(peaks, dim=-1)) - decibels(torch.stack(valleys, dim=-1))


def chromagram(power: Tensor, filters: Tensor) -> Tensor:
    """Energy of the 12 pitch classes, each frame scaled to a maximum of 1.

    Args:
        power: (batch, frame, frequency).
        filters: (batch, frequency, 12): each track's own, for its tuning.

    Returns:
        (batch, frame, 12) in 0..1; 0 where a frame is silent.
    """
    energy = torch.bmm(power, filters)
    loudest = energy.amax(dim=-1, keepdim=True)
    return energy / torch.where(loudest < TINY, 1.0, loudest)


def harmonic_mask(magnitude: Tensor, window: int = HARMONIC_WINDOW) -> Tensor:
    """Share of each bin that belongs to sustained sounds: h² / (h² + p²).

    h is the median over time and p the median over frequency of `window` neighbours; where both vanish, ½.

    Args:
        magnitude: (batch, frame, frequency).

    Returns:
        (batch, frame, frequency) in 0..1. Source: Fitzgerald 2010. Same as librosa.decompose.hpss with its
        defaults, except below 1e-19, where the squares leave float32 and librosa first divides by the larger.
    """
    harmonic = running_median(magnitude, window).square_()
    percussive = running_median(magnitude, window, dim=2).square()
    total = percussive.add_(harmonic)
    return torch.where(total < TINY, 0.5, harmonic / total.clamp_min(TINY))


def means(series: Tensor) -> Tensor:
    """Over the second axis. (batch, time) → (batch, 1), (batch, time, k) → (batch, k); summed in float64."""
    columns = series if series.ndim > 2 else series[..., None]
    return columns.mean(dim=1, dtype=torch.float64)


def means_and_variances(series: Tensor) -> Tensor:
    """Over the second axis: (batch, time) → (batch, 2), (batch, time, k) → (batch, 2k): mean, variance, mean,
    …

    The variance is that of a population (divided by n); both are summed in float64.
    """
    columns = series if series.ndim > 2 else series[..., None]
    variance, mean = torch.var_mean(columns.double(), dim=1, correction=0)
    return torch.stack([mean, variance], dim=-1).flatten(1)


def repeated(series: Tensor, length: int) -> Tensor:
    """(batch, time, …) → (batch, length, …): cut, or repeated from the start."""
    return series[:, torch.arange(length, device=series.device) % series.shape[1]]
