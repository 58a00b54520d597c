"""What the features of some equally long waveforms share; each part is computed when first asked for."""

from __future__ import annotations

from functools import cache, cached_property

import numpy as np
import torch
from torch import Tensor

from groovemark.ml.features import constant_q, filterbanks, functional, rhythm, tuning
from groovemark.ml.features.beats import beat_frames
from groovemark.ml.features.onsets import onset_frames
from groovemark.ml.features.spec import AudioSource

N_MFCC = 20


@cache
def _chroma_filters(sample_rate: int, n_fft: int, device: torch.device) -> Tensor:
    """(tuning, frequency, pitch class)."""
    filters = [filterbanks.chroma(sample_rate, n_fft, step) for step in range(tuning.N_STEPS)]
    return torch.from_numpy(np.stack(filters)).to(device)


class Analysis:
    """In tensors, on any device."""

    def __init__(self, waveforms: Tensor, source: AudioSource) -> None:
        self._parameters = source.parameters
        self.waveforms = waveforms  # (batch, time)
        self.sample_rate = source.sample_rate
        self.tempo_aggregate: rhythm.Aggregate = (
            "median" if source.parameters.get("tempo") == "median onset strength" else "mean"
        )

    @cached_property
    def n_fft(self) -> int:
        return int(self._parameters["n_fft"])

    @cached_property
    def hop_length_samples(self) -> int:
        return int(self._parameters["hop_length_samples"])

    @cached_property
    def n_mels(self) -> int:
        return int(self._parameters["n_mels"])

    @property
    def lead_frames(self) -> int:
        return self.n_fft // (2 * self.hop_length_samples)

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
        return functional.chromagram(self.power, self.chroma_filters)

    @property
    def chroma_filters(self) -> Tensor:
        """(batch, frequency, pitch class): each track's own, for its tuning."""
        # Chosen on the device from all hundred, which its queue need not be emptied for.
        return _chroma_filters(self.sample_rate, self.n_fft, self.waveforms.device)[self.tuning_steps]

    @property
    def tuning_steps(self) -> Tensor:
        """(batch,) integers."""
        return tuning.tuning_steps(self.power, self.sample_rate)

    @cached_property
    def constant_q_chroma(self) -> Tensor:
        """(batch, frame, pitch class): unscaled."""
        steps = tuning.tuning_steps(self.magnitude, self.sample_rate, constant_q.BINS_PER_OCTAVE).tolist()
        filters = torch.stack([self._matrix(constant_q.filters(self.sample_rate, step)) for step in steps])
        return constant_q.chroma_energy(self.waveforms, filters, self.hop_length_samples)

    @property
    def tonnetz(self) -> Tensor:
        """(batch, frame, 6)."""
        return constant_q.tonnetz(self.constant_q_chroma)

    @cached_property
    def onset_strength(self) -> Tensor:
        """(batch, frame): that which the tempo is taken from."""
        return self.aggregated_onsets(self.tempo_aggregate)

    def aggregated_onsets(self, aggregate: rhythm.Aggregate) -> Tensor:
        """(batch, frame)."""
        return rhythm.onset_strength(self.mel_db, aggregate=aggregate, lead_frames=self.lead_frames)

    def mean_autocorrelation(self, strength: Tensor, n_lags: int) -> Tensor:
        return rhythm.mean_autocorrelation(strength, n_lags)

    @property
    def onset_rate(self) -> Tensor:
        """(batch, 1) onsets a second."""
        strengths = self.aggregated_onsets("mean").cpu().numpy()
        counts = [len(onset_frames(one, self.sample_rate, self.hop_length_samples)) for one in strengths]
        duration_s = self.waveforms.shape[1] / self.sample_rate
        return self.waveforms.new_tensor(counts, dtype=torch.float64)[:, None] / duration_s

    @property
    def beat_deviation(self) -> Tensor:
        """(batch, 1): standard deviation in s of the time from one beat to the next; 0 with less than two beats."""
        rate, hop = self.sample_rate, self.hop_length_samples
        tracks = zip(self.onset_strength.cpu().numpy(), self.tempo[:, 0].tolist(), strict=True)
        times_s = [beat_frames(strength, tempo_bpm, rate, hop) * hop / rate for strength, tempo_bpm in tracks]
        deviations = [np.diff(times).std() if len(times) > 1 else 0.0 for times in times_s]
        return self.waveforms.new_tensor(deviations, dtype=torch.float64)[:, None]

    @property
    def tempo_of_onsets(self) -> Tensor:
        """(batch, 1) in beats per minute; 0 where there is no onset."""
        has_onsets = self.onset_strength.any(dim=1, keepdim=True)
        return torch.where(has_onsets, self.tempo, 0.0)

    @cached_property
    def tempo(self) -> Tensor:
        """(batch, 1) in beats per minute."""
        n_lags = rhythm.lags(self.sample_rate, self.hop_length_samples)
        correlation = self.mean_autocorrelation(self.onset_strength, n_lags)
        return rhythm.likeliest_tempo(correlation, self.onset_strength, self.sample_rate, self.hop_length_samples)[
            :, None
        ]

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

    @property
    def energies_of_parts(self) -> tuple[Tensor, Tensor]:
        """(batch,) each: of the sustained part and of the rest."""
        harmonic, percussive = (
            part.square().sum(dim=1, dtype=torch.float64) for part in (self.harmonic, self.percussive)
        )
        return harmonic, percussive

    @property
    def energy_ratio(self) -> Tensor:
        """(batch, 1): energy of the sustained part over that of the rest."""
        harmonic, percussive = self.energies_of_parts
        return (harmonic / (percussive + 1e-8))[:, None]

    def means(self, series: Tensor) -> Tensor:
        return functional.means(series)

    def moments(self, series: Tensor) -> Tensor:
        return functional.means_and_variances(series)

    def means_and_deviations(self, series: Tensor) -> Tensor:
        """As `moments`, with the standard deviation in the variance's place."""
        moments = self.moments(series)
        moments[:, 1::2].sqrt_()
        return moments
