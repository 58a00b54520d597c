"""Chroma of a constant-Q transform, seven octaves from C1 in thirds of a semitone; librosa 0.11's numbers.

Octave by octave from the top down the waveform is halved in rate and the hop with it, so that one set of filters
serves all octaves and every octave has the same frames. A filter is applied as a product in time: 72 columns, the
real and imaginary parts of 36 filters, cost less than a transform of each frame, of which a fifth would be used.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import soxr
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import pad

from groovemark.ml.compiling import compiled
from groovemark.ml.features.filterbanks import A440_HZ, TUNING_EDGES, Matrix
from groovemark.ml.features.functional import TINY

Array = NDArray[np.float32]
Spectra = NDArray[np.complexfloating[Any, Any]]

OCTAVES = 7
BINS_PER_OCTAVE = 36
LOWEST_HZ = A440_HZ * 2.0 ** (-45 / 12)
"""C1."""

DISCARDED = 0.01
"""Share of a filter's magnitude whose quietest bins are left out."""

_REACH = 199
"""Samples to either side that a halved sample depends on; soxr's filter is below 1e-8 beyond."""

_HALVED_AT_ONCE = 256
_FRAMES_AT_ONCE = 256


@cache
def filters(sample_rate: int, tuning: int) -> Matrix:
    """The top octave's filters: windowed complex tones, each as long as Q of its periods.

    Args:
        sample_rate: Hz, at which no octave reaches beyond half of it; up to 22,050 Hz librosa's numbers, which
            halves higher rates first.
        tuning: which of the 100 tunings between `TUNING_EDGES`, in thirds of a semitone, the music has.

    Returns:
        (n_fft, 72): 36 real parts, then 36 imaginary parts, from low to high.

    Source: Schörkhuber & Klapuri 2010, "Constant-Q transform toolbox for music processing".
    """
    top = (OCTAVES - 1) * BINS_PER_OCTAVE + np.arange(BINS_PER_OCTAVE) + TUNING_EDGES[tuning]
    frequencies_hz = LOWEST_HZ * 2.0 ** (top / BINS_PER_OCTAVE)  # (filter,)
    ratio = 2.0 ** (2 / BINS_PER_OCTAVE)
    lengths = (ratio + 1) / (ratio - 1) * sample_rate / frequencies_hz  # in samples, Q = (r + 1) / (r − 1)
    n_fft = 1 << int(np.ceil(np.log2(lengths.max())))
    tones = np.zeros((BINS_PER_OCTAVE, n_fft), np.complex64)
    for number, (length, frequency_hz) in enumerate(zip(lengths, frequencies_hz, strict=True)):
        positions = np.arange(-length // 2, length // 2)
        n_samples = len(positions)
        window = 0.5 - 0.5 * np.cos(2 * np.pi * np.arange(n_samples) / n_samples)
        start = (n_fft - n_samples) // 2
        tone = np.exp(2j * np.pi * frequency_hz / sample_rate * positions)
        tones[number, start : start + n_samples] = tone * window / window.sum()
    tones *= (lengths / n_fft).astype(np.float32)[:, None]
    spectra = _without_quietest(np.fft.fft(tones)[:, : n_fft // 2 + 1])  # (filter, frequency)
    spectra /= np.sqrt(lengths)[:, None]
    # Σₖ B[k] X[k] = Σₙ x[n] Σₖ B[k] exp(−2πikn / n_fft): the frame's transform is the filter's as well.
    columns = np.fft.fft(spectra.astype(np.complex128), n=n_fft).T  # (n_fft, filter)
    matrix = np.concatenate([columns.real, columns.imag], axis=1).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def _without_quietest(spectra: Spectra) -> Spectra:
    """Zero in each row's quietest bins, which together hold less than `DISCARDED` of its magnitude.

    In float32, as librosa.util.sparsify_rows decides which bin is the last.
    """
    magnitude = np.abs(spectra)
    ascending = np.sort(magnitude, axis=1)
    share = np.cumsum(ascending / magnitude.sum(axis=1, keepdims=True), axis=1)
    quietest_kept = np.take_along_axis(ascending, np.argmin(share < DISCARDED, axis=1)[:, None], axis=1)
    return np.where(magnitude >= quietest_kept, spectra, np.complex64(0))


@cache
def halving_filter() -> NDArray[np.float64]:
    """soxr's low-pass filter for half the rate, (399,) taps symmetric around the middle: what it makes of impulses."""
    impulses = np.zeros((2, 1024))
    responses = np.empty((2, 512))
    for is_odd in range(2):
        impulses[is_odd, 512 + is_odd] = 1.0
        responses[is_odd] = soxr.resample(impulses[is_odd], 2, 1, quality="HQ")
    lags = np.arange(-_REACH, _REACH + 1)
    taps = responses[lags & 1, (lags + 512 + (lags & 1)) // 2]
    return np.asarray((taps + taps[::-1]) / 2)


@cache
def _halving_matrix() -> Matrix:
    """`halving_filter` at every second sample: (samples a block of outputs sees, outputs)."""
    sample, output = np.mgrid[: 2 * (_HALVED_AT_ONCE + _REACH) - 1, :_HALVED_AT_ONCE]
    tap = 2 * output + 2 * _REACH - sample
    taps = halving_filter()
    matrix = np.where((tap >= 0) & (tap < len(taps)), taps[tap.clip(0, len(taps) - 1)], 0.0).astype(np.float32)
    matrix.flags.writeable = False
    return matrix


def halved(waveforms: Tensor) -> Tensor:
    """At half the rate, on any device: (batch, time) → (batch, ⌈time / 2⌉). soxr's numbers within rounding.

    As a product with a matrix: convolutions on a GPU round to fewer bits and choose their order of sums by size.
    """
    n_outputs = -(-waveforms.shape[1] // 2)
    matrix = torch.tensor(_halving_matrix(), device=waveforms.device)
    n_blocks = -(-n_outputs // _HALVED_AT_ONCE)
    missing = 2 * _HALVED_AT_ONCE * n_blocks + _REACH - waveforms.shape[1]
    blocks = pad(waveforms, (_REACH, missing)).unfold(1, len(matrix), 2 * _HALVED_AT_ONCE)  # (batch, block, sample)
    return (blocks @ matrix).flatten(1)[:, :n_outputs]


def chroma_energy(waveforms: Tensor, filters: Tensor, hop_length_samples: int) -> Tensor:
    """Magnitude of the constant-Q transform, summed over the octaves and the three bins around each semitone.

    Args:
        waveforms: (batch, time).
        filters: (batch, n_fft, 72): each track's own, for its tuning.
        hop_length_samples: 64 or a multiple of it.

    Returns:
        (batch, frame, 12), 1 + time // hop frames.
    """
    n_fft = filters.shape[1]
    n_frames = 1 + waveforms.shape[1] // hop_length_samples
    total = waveforms.new_zeros(len(waveforms), n_frames, BINS_PER_OCTAVE)
    for octave in range(OCTAVES):
        padded = pad(waveforms, (n_fft // 2, n_fft // 2))
        frames = padded.unfold(1, n_fft, hop_length_samples >> octave)[:, :n_frames]  # (batch, frame, n_fft)
        parts = frames @ filters  # (batch, frame, 72)
        real, imaginary = parts[..., :BINS_PER_OCTAVE], parts[..., BINS_PER_OCTAVE:]
        total += 2.0 ** (octave / 2) * (real * real + imaginary * imaginary).sqrt()
        waveforms = halved(waveforms)
    energy: Tensor = total.roll(1, dims=-1).view(len(total), n_frames, 12, 3).sum(dim=-1)
    return energy


def compiled_chroma_energy(waveform: Array, filters: Tensor, hop_length_samples: int) -> Array:
    """The same of one track on the processor: (time,), (n_fft, 72) → (frame, 12); some frames at a time, so that they
    and their products stay in its cache."""
    n_fft = len(filters)
    n_frames = 1 + len(waveform) // hop_length_samples
    energy = np.zeros((n_frames, 12), np.float32)
    frames = torch.empty(_FRAMES_AT_ONCE, n_fft)
    parts = torch.empty(_FRAMES_AT_ONCE, 2 * BINS_PER_OCTAVE)
    for octave in range(OCTAVES):
        hop = hop_length_samples >> octave
        padded = torch.from_numpy(np.pad(waveform, n_fft // 2))
        overlapping = padded.unfold(0, n_fft, hop)
        for first in range(0, n_frames, _FRAMES_AT_ONCE):
            count = min(_FRAMES_AT_ONCE, n_frames - first)
            frames[:count].copy_(overlapping[first : first + count])
            torch.mm(frames[:count], filters, out=parts[:count])
            add_magnitudes(parts[:count].numpy(), np.float32(2.0 ** (octave / 2)), energy[first : first + count])
        if octave < OCTAVES - 1:
            waveform = soxr.resample(waveform, 2, 1, quality="HQ")
    return energy


@compiled
def add_magnitudes(parts: Array, gain: np.float32, energy: Array) -> None:
    """|C| of the bins around each semitone, times the octave's gain: (frame, 72) into (frame, 12)."""
    magnitude = np.empty(BINS_PER_OCTAVE, np.float32)
    for frame in range(len(parts)):
        real, imaginary = parts[frame, :BINS_PER_OCTAVE], parts[frame, BINS_PER_OCTAVE:]
        for k in range(BINS_PER_OCTAVE):
            magnitude[k] = gain * np.sqrt(real[k] * real[k] + imaginary[k] * imaginary[k])
        for semitone in range(12):
            energy[frame, semitone] += (
                magnitude[3 * semitone - 1] + magnitude[3 * semitone] + magnitude[3 * semitone + 1]
            )


def tonnetz(energy: Tensor) -> Tensor:
    """Tonal centroids: each frame's shares of the 12 pitch classes, placed on circles of fifths, of minor and of major
    thirds.

    Args:
        energy: (batch, frame, 12), >= 0.

    Returns:
        (batch, frame, 6): sine and cosine on each circle, of radius 1, 1 and ½; 0 where a frame is silent.
        Source: Harte, Sandler & Gasser 2006. Same as librosa.feature.tonnetz(chroma=energy).
    """
    total = energy.sum(dim=-1, keepdim=True)
    shares = energy / torch.where(total < TINY, 1.0, total)
    return shares @ torch.tensor(_circles(), device=energy.device)


@cache
def _circles() -> Matrix:
    """(12, 6): sine and cosine of every pitch class's angle on each circle."""
    steps = np.array([7 / 6, 3 / 2, 2 / 3])  # of a half turn, from one semitone to the next
    angles = np.pi * np.arange(12)[:, None] * steps  # (12, circle)
    matrix = np.stack([np.sin(angles), np.cos(angles)], axis=-1) * np.array([1.0, 1.0, 0.5])[:, None]
    return np.ascontiguousarray(matrix.reshape(12, 6), np.float32)
