"""The fixed matrices and frequency axes of the features, equal to librosa 0.11's.

All are float64 while they are computed and float32 when handed out; everything is cached and read-only.
"""

from __future__ import annotations

from functools import cache
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

Matrix = NDArray[np.float32]
Bands = tuple[tuple[int, Matrix], ...]

TUNING_EDGES = np.linspace(-0.5, 0.5, 101)
"""Edges of the 100 tunings that can be told apart, in semitones."""

A440_HZ = 440.0


def _frozen(values: NDArray[np.float64]) -> Matrix:
    matrix = np.ascontiguousarray(values, dtype=np.float32)
    matrix.flags.writeable = False
    return matrix


@cache
def hann(length: int) -> Matrix:
    """Periodic Hann window (length,): ½ − ½ cos(2πn / length)."""
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / length))


@cache
def bin_frequencies(sample_rate: int, n_fft: int) -> Matrix:
    """Centres in Hz of the n_fft // 2 + 1 bins of a real Fourier transform."""
    return _frozen(np.arange(n_fft // 2 + 1) * sample_rate / n_fft)


def _hz_to_mel(frequency_hz: float) -> float:
    """Slaney's mel scale: linear to 1 kHz (66⅔ Hz a mel), then logarithmic (a factor of 6.4 in 27 mels)."""
    if frequency_hz < 1000.0:
        return frequency_hz * 3 / 200
    return 15.0 + float(np.log(frequency_hz / 1000.0)) * 27 / float(np.log(6.4))


def _mel_to_hz(mels: NDArray[np.float64]) -> NDArray[np.float64]:
    """Inverse of `_hz_to_mel`."""
    return np.where(mels < 15.0, mels * 200 / 3, 1000.0 * np.exp((mels - 15.0) * np.log(6.4) / 27))


@cache
def mel(sample_rate: int, n_fft: int, n_mels: int) -> Matrix:
    """Triangles of equal area, evenly spaced on Slaney's mel scale from 0 Hz to the Nyquist frequency.

    Returns:
        (frequency, mel), to be multiplied from the right with a power spectrum.

    Source: Slaney 1998, Auditory Toolbox. Same as librosa.filters.mel(...).T.
    """
    edges_hz = _mel_to_hz(np.linspace(0.0, _hz_to_mel(sample_rate / 2), n_mels + 2))  # (mel + 2,)
    bins_hz = np.arange(n_fft // 2 + 1)[:, None] * sample_rate / n_fft  # (frequency, 1)
    widths_hz = np.diff(edges_hz)
    rising = (bins_hz - edges_hz[:-2]) / widths_hz[:-1]
    falling = (edges_hz[2:] - bins_hz) / widths_hz[1:]
    triangles = np.maximum(0.0, np.minimum(rising, falling))  # (frequency, mel)
    return _frozen(triangles * 2.0 / (edges_hz[2:] - edges_hz[:-2]))


@cache
def mel_bands(sample_rate: int, n_fft: int, n_mels: int) -> Bands:
    """`mel` without most of its zeros."""
    return _bands(mel(sample_rate, n_fft, n_mels))


def _bands(filters: Matrix, bands_at_once: int = 16) -> Bands:
    """For groups of neighbouring bands the first bin they use, and their (bin, band) from there."""
    groups = []
    for first in range(0, filters.shape[1], bands_at_once):
        group = filters[:, first : first + bands_at_once]
        used = np.flatnonzero(group.any(axis=1))
        start, stop = (int(used[0]), int(used[-1]) + 1) if len(used) else (0, 1)
        groups.append((start, _frozen(group[start:stop].astype(np.float64))))
    return tuple(groups)


@cache
def symmetric_hann(length: int) -> Matrix:
    """Hann window whose both ends are zero (length,): ½ − ½ cos(2πn / (length − 1))."""
    return _frozen(0.5 - 0.5 * np.cos(2 * np.pi * np.arange(length) / (length - 1)))


@cache
def kaldi_mel_bands(sample_rate: int, n_fft: int, n_mels: int, lowest_hz: float = 20.0) -> Bands:
    """Triangles of equal height between neighbouring points of HTK's mel scale, straight in mels.

    Source: Povey et al. 2011, Kaldi (mel = 1127 ln(1 + f / 700)).
    """
    bins = 1127.0 * np.log1p(np.arange(n_fft // 2 + 1)[:, None] * sample_rate / n_fft / 700.0)  # (frequency, 1)
    lowest, highest = 1127.0 * np.log1p(np.array([lowest_hz, sample_rate / 2]) / 700.0)
    edges = np.linspace(lowest, highest, n_mels + 2)  # (mel + 2,)
    width = edges[1] - edges[0]
    triangles = np.maximum(0.0, np.minimum((bins - edges[:-2]) / width, (edges[2:] - bins) / width))
    triangles[-1] = 0.0  # Kaldi leaves out the Nyquist bin
    return _bands(_frozen(triangles))


@cache
def cosines(n_mels: int, n_coefficients: int) -> Matrix:
    """The orthonormal DCT-II, (mel, coefficient): √(2/N) cos(πk(2n+1) / 2N), column 0 times √½."""
    positions = np.arange(n_mels)[:, None]
    orders = np.arange(n_coefficients)[None, :]
    basis = np.sqrt(2 / n_mels) * np.cos(np.pi * orders * (2 * positions + 1) / (2 * n_mels))
    basis[:, 0] *= np.sqrt(0.5)
    return _frozen(basis)


@cache
def chroma(sample_rate: int, n_fft: int, tuning: int) -> Matrix:
    """Gaussian bumps that fold the bins of a spectrum onto the 12 pitch classes, C first.

    Args:
        tuning: which of the 100 tunings between `TUNING_EDGES` the music has.

    Returns:
        (frequency, pitch class): each bin's weights have unit length, then fall off around the octave of D5
        with a standard deviation of two octaves.

    Source: Ellis 2007, "Chroma feature analysis and synthesis". Same as librosa.filters.chroma(...).T.
    """
    a0_hz = A440_HZ / 16 * 2.0 ** (TUNING_EDGES[tuning] / 12)
    bins_hz = np.arange(1, n_fft) * sample_rate / n_fft
    semitones = 12 * np.log2(bins_hz / a0_hz)
    # Bin 0 has no pitch: it is put an octave and a half below bin 1, so that it is spread over all classes.
    semitones = np.concatenate([[semitones[0] - 18.0], semitones])  # (n_fft,)
    widths = np.append(np.maximum(np.diff(semitones), 1.0), 1.0)
    distance = np.mod(semitones[:, None] - np.arange(12) + 126, 12) - 6  # (n_fft, 12), A first
    bumps = np.exp(-0.5 * (2 * distance / widths[:, None]) ** 2)
    bumps /= np.linalg.norm(bumps, axis=1, keepdims=True)
    bumps *= np.exp(-0.5 * ((semitones[:, None] / 12 - 5.0) / 2.0) ** 2)
    return _frozen(np.roll(bumps, -3, axis=1)[: n_fft // 2 + 1])


@cache
def tempi_bpm(n_lags: int, sample_rate: int, hop_length_samples: int) -> NDArray[np.float64]:
    """Tempo that belongs to each lag of an autocorrelation, in beats per minute; lag 0 is infinitely fast."""
    with np.errstate(divide="ignore"):
        return 60.0 * sample_rate / (hop_length_samples * np.arange(n_lags, dtype=np.float64))


@cache
def tempo_prior(n_lags: int, sample_rate: int, hop_length_samples: int) -> NDArray[np.float64]:
    """Logarithm of a log-normal prior around 120 bpm, an octave wide; −∞ from 320 bpm on.

    Source: Ellis 2007, "Beat tracking by dynamic programming". Same as in librosa.feature.tempo.
    """
    tempi = tempi_bpm(n_lags, sample_rate, hop_length_samples)
    return np.where(tempi < 320.0, -0.5 * np.log2(tempi / 120.0) ** 2, -np.inf)


@cache
def octave_bands(sample_rate: int, n_fft: int) -> tuple[tuple[int, int, int], ...]:
    """Bins of the seven bands of spectral contrast: 0 to 200 Hz, then six octaves from 200 Hz on.

    Returns:
        For each band its first bin, the bin after its last, and how many bins make its peak and its valley (2
        %). A band borrows the bin below it, and all but the topmost lack the last bin at or below their upper
        edge; both are librosa's, whose numbers the tables hold.
    """
    frequencies = np.arange(n_fft // 2 + 1) * sample_rate / n_fft
    edges_hz = [0.0, *(200.0 * 2.0**octave for octave in range(7))]
    bands = []
    for number, (low_hz, high_hz) in enumerate(pairwise(edges_hz)):
        inside = np.flatnonzero((frequencies >= low_hz) & (frequencies <= high_hz))
        start = int(inside[0]) - (number > 0)
        stop = len(frequencies) if number == 6 else int(inside[-1]) + 1
        extreme = max(1, round(0.02 * (stop - start)))
        bands.append((start, stop if number == 6 else stop - 1, extreme))
    return tuple(bands)
