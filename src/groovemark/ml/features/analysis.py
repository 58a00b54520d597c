"""What the features of some equally long waveforms share; each part is computed when first asked for."""

from __future__ import annotations

from functools import cached_property

import torch
from torch import Tensor

from groovemark.ml.features import filterbanks, functional, rhythm, tuning
from groovemark.ml.features.spec import AudioSource

N_MFCC = 20


class Analysis:
    """In tensors, on any device."""

    def __init__(self, waveforms: Tensor, source: AudioSource) -> None:
        parameters = source.parameters
        self.waveforms = waveforms  # (batch, time)
        self.sample_rate = source.sample_rate
        self.n_fft = int(parameters["n_fft"])
        self.hop_length_samples = int(parameters["hop_length_samples"])
        self.n_mels = int(parameters["n_mels"])
        self.lead_frames = self.n_fft // (2 * self.hop_length_samples)
        self.tempo_aggregate: rhythm.Aggregate = (
            "median" if parameters.get("tempo") == "median onset strength" else "mean"
        )

    def _matrix(self, matrix: filterbanks.Matrix) -> Tensor:
        return torch.tensor(matrix, device=self.waveforms.device)

    @cached_property
    def window(self) -> Tensor:
        return self._matrix(filterbanks.hann(self.n_fft))

    @cached_property
    def frequencies(self) -> Tensor:
        return self._matrix(filterbanks.bin_frequencies(self.sample_rate, self.n_fft))

    @cached_property
    def spectra(self) -> Tensor:
        """(batch, frame, frequency) complex."""
        return functional.stft(self.waveforms, self.window, self.hop_length_samples)

    @cached_property
    def _magnitude_and_power(self) -> tuple[Tensor, Tensor]:
        return functional.magnitude_and_power(self.spectra)

    @property
    def magnitude(self) -> Tensor:
        return self._magnitude_and_power[0]

    @property
    def power(self) -> Tensor:
        return self._magnitude_and_power[1]

    @property
    def mel(self) -> Tensor:
        """(batch, frame, mel): the energy of each band."""
        bands = filterbanks.mel_bands(self.sample_rate, self.n_fft, self.n_mels)
        groups = [(start, self._matrix(filters)) for start, filters in bands]
        return functional.banded_product(self.power, groups)

    @cached_property
    def mel_db(self) -> Tensor:
        """(batch, frame, mel)."""
        return functional.decibels(self.mel)

    @property
    def mfcc(self) -> Tensor:
        """(batch, frame, coefficient)."""
        return self.mel_db @ self._matrix(filterbanks.cosines(self.n_mels, N_MFCC))

    @cached_property
    def chroma(self) -> Tensor:
        """(batch, frame, pitch class)."""
        steps = self.tuning_steps.tolist()
        filters = [self._matrix(filterbanks.chroma(self.sample_rate, self.n_fft, step)) for step in steps]
        return functional.chromagram(self.power, torch.stack(filters))

    @property
    def tuning_steps(self) -> Tensor:
        """(batch,) integers."""
        return tuning.tuning_steps(self.power, self.sample_rate)

    @property
    def onset_strength(self) -> Tensor:
        """(batch, frame)."""
        return rhythm.onset_strength(self.mel_db, aggregate=self.tempo_aggregate, lead_frames=self.lead_frames)

    def mean_autocorrelation(self, strength: Tensor, n_lags: int) -> Tensor:
        return rhythm.mean_autocorrelation(strength, n_lags)

    @property
    def tempo(self) -> Tensor:
        """(batch, 1) in beats per minute."""
        n_lags = rhythm.lags(self.sample_rate, self.hop_length_samples)
        correlation = self.mean_autocorrelation(self.onset_strength, n_lags)
        return rhythm.likeliest_tempo(correlation, self.sample_rate, self.hop_length_samples)[:, None]

    @cached_property
    def spectral_centroid(self) -> Tensor:
        return functional.spectral_centroid(self.magnitude, self.frequencies)

    @property
    def spectral_bandwidth(self) -> Tensor:
        return functional.spectral_bandwidth(self.magnitude, self.frequencies, self.spectral_centroid)

    @property
    def spectral_rolloff(self) -> Tensor:
        return functional.spectral_rolloff(self.magnitude, self.frequencies)

    @property
    def spectral_contrast(self) -> Tensor:
        bands = filterbanks.octave_bands(self.sample_rate, self.n_fft)
        return functional.spectral_contrast(self.magnitude, bands)

    @property
    def root_mean_square(self) -> Tensor:
        return functional.root_mean_square(self.waveforms, self.n_fft, self.hop_length_samples)

    @property
    def zero_crossing_rate(self) -> Tensor:
        return functional.zero_crossing_rate(self.waveforms, self.n_fft, self.hop_length_samples)

    @cached_property
    def harmonic(self) -> Tensor:
        """(batch, time): the sustained part of the waveforms."""
        masked = self.spectra * functional.harmonic_mask(self.magnitude)
        return functional.istft(masked, self.window, self.hop_length_samples, self.waveforms.shape[1])

    @property
    def percussive(self) -> Tensor:
        """(batch, time): the rest; the two masks of each bin sum to 1."""
        return self.waveforms - self.harmonic

    def means(self, series: Tensor) -> Tensor:
        return functional.means(series)

    def moments(self, series: Tensor) -> Tensor:
        return functional.means_and_variances(series)
