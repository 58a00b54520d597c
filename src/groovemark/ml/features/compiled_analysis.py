"""The same features of one track on the processor, several times faster: its passes over memory are compiled."""

from __future__ import annotations

from functools import cached_property

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groovemark.ml.features import constant_q, filterbanks, functional, kernels, rhythm, tuning
from groovemark.ml.features.analysis import Analysis

Array = NDArray[np.float32]


def _parts(spectra: Tensor) -> Array:
    """(1, frame, frequency) complex → (frame, 2 · frequency), real and imaginary parts in turn; the same memory."""
    parts: Array = torch.view_as_real(spectra)[0].flatten(1).numpy()
    return parts


def _tensor(array: Array) -> Tensor:
    """As a batch of one."""
    return torch.from_numpy(array)[None]


class CompiledAnalysis(Analysis):
    """Of a batch of one. What is not overridden here is the same work in tensors."""

    @cached_property
    def _waveform(self) -> Array:
        waveform: Array = self.waveforms[0].numpy()
        return waveform

    @cached_property
    def spectra(self) -> Tensor:
        n_frames = 1 + len(self._waveform) // self.hop_length_samples
        frames = np.empty((n_frames, self.n_fft), np.float32)
        kernels.cut_frames(self._waveform, self.window.numpy(), self.hop_length_samples, frames)
        spectra: Tensor = torch.fft.rfft(_tensor(frames))
        return spectra

    @cached_property
    def _magnitude_and_power(self) -> tuple[Tensor, Tensor]:
        parts = _parts(self.spectra)
        magnitude = np.empty((len(parts), parts.shape[1] // 2), np.float32)
        power = np.empty_like(magnitude)
        kernels.magnitude_and_power(parts, magnitude, power)
        return _tensor(magnitude), _tensor(power)

    @property
    def tuning_steps(self) -> Tensor:
        return self._commonest_step(self.power, tuning.SEMITONES)[None]

    def _commonest_step(self, spectra: Tensor, bins_per_octave: int) -> Tensor:
        lowest, highest, bin_hz = tuning.searched_bins(self.n_fft, self.sample_rate)
        pitches_hz, heights = kernels.spectral_peaks(spectra[0].numpy(), lowest, highest, bin_hz)
        return tuning.commonest_step(torch.from_numpy(pitches_hz), torch.from_numpy(heights), bins_per_octave)

    @cached_property
    def constant_q_chroma(self) -> Tensor:
        step = int(self._commonest_step(self.magnitude, constant_q.BINS_PER_OCTAVE))
        filters = self._matrix(constant_q.filters(self.sample_rate, step))
        return _tensor(constant_q.compiled_chroma_energy(self._waveform, filters, self.hop_length_samples))

    @property
    def chroma_filters(self) -> Tensor:
        step = int(self.tuning_steps)
        return self._matrix(filterbanks.chroma(self.sample_rate, self.n_fft, step))[None]

    def aggregated_onsets(self, aggregate: rhythm.Aggregate) -> Tensor:
        if aggregate != "median" or self.n_mels != kernels.MEDIAN_BANDS:
            return super().aggregated_onsets(aggregate)
        rises = kernels.median_rises(self.mel_db[0].numpy())
        return rhythm.delayed(_tensor(rises), self.lead_frames)

    def mean_autocorrelation(self, strength: Tensor, n_lags: int) -> Tensor:
        faded, n_fft = rhythm.faded(strength, n_lags)[0].numpy(), rhythm.transform_length(n_lags)
        window = filterbanks.hann(n_lags)
        excerpts, scales = kernels.windowed_excerpts(faded, window, strength.shape[1], n_fft)
        spectra = torch.fft.rfft(_tensor(excerpts))
        power = kernels.mean_scaled_power(_parts(spectra), scales)
        correlation: Tensor = torch.fft.irfft(torch.from_numpy(power), n=n_fft)
        return correlation[None, :n_lags]

    @cached_property
    def _shapes(self) -> tuple[Tensor, Tensor, Tensor]:
        shapes = kernels.shape_of_spectra(self.magnitude[0].numpy(), self.frequencies.numpy(), functional.ROLLOFF_SHARE)
        centroid, bandwidth, rolloff = (_tensor(shape) for shape in shapes)
        return centroid, bandwidth, rolloff

    @property
    def spectral_bandwidth(self) -> Tensor:
        return self._shapes[1]

    @property
    def spectral_rolloff(self) -> Tensor:
        return self._shapes[2]

    @property
    def spectral_contrast(self) -> Tensor:
        bands = np.array(filterbanks.octave_bands(self.sample_rate, self.n_fft))
        peaks, valleys = kernels.peaks_and_valleys(self.magnitude[0].numpy(), bands)
        return functional.decibels(_tensor(peaks)) - functional.decibels(_tensor(valleys))

    @cached_property
    def _energy_and_crossings(self) -> tuple[Tensor, Tensor]:
        energy, rate = kernels.energy_and_crossings(self._waveform, self.n_fft, self.hop_length_samples)
        return _tensor(energy), _tensor(rate)

    @property
    def root_mean_square(self) -> Tensor:
        return self._energy_and_crossings[0]

    @property
    def zero_crossing_rate(self) -> Tensor:
        return self._energy_and_crossings[1]

    @cached_property
    def harmonic(self) -> Tensor:
        masked = kernels.harmonic_part(_parts(self.spectra), self.magnitude[0].numpy())
        frames = torch.fft.irfft(torch.from_numpy(masked.view(np.complex64)), n=self.n_fft)
        window, hop = self.window.numpy(), self.hop_length_samples
        return _tensor(kernels.overlap_add(frames.numpy(), window, hop, len(self._waveform)))

    @property
    def energies_of_parts(self) -> tuple[Tensor, Tensor]:
        energies = torch.tensor(
            kernels.energies_of_parts(self._waveform, self.harmonic[0].numpy()), dtype=torch.float64
        )
        return energies[:1], energies[1:]

    def moments(self, series: Tensor) -> Tensor:
        if series.ndim > 2:
            return super().moments(series)
        return torch.tensor([kernels.moments(series[0].numpy())], dtype=torch.float64)
