"""From waveforms to the columns of a FeatureSpec."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property

import torch
from torch import Tensor

from groovemark.ml.features import filterbanks, functional, rhythm, tuning
from groovemark.ml.features.spec import AudioSource, FeatureSpec

N_MFCC = 20


class Analysis:
    """What the features of some equally long waveforms share; each part is computed when first asked for."""

    def __init__(self, waveforms: Tensor, source: AudioSource) -> None:
        parameters = source.parameters
        self.waveforms = waveforms  # (batch, time)
        self.sample_rate = source.sample_rate
        self.n_fft = int(parameters["n_fft"])
        self.hop_length_samples = int(parameters["hop_length_samples"])
        self.n_mels = int(parameters["n_mels"])
        self.tempo_aggregate: rhythm.Aggregate = "median" if parameters["tempo"] == "median onset strength" else "mean"

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

    @cached_property
    def mel_db(self) -> Tensor:
        """(batch, frame, mel)."""
        filters = self._matrix(filterbanks.mel(self.sample_rate, self.n_fft, self.n_mels))
        return functional.decibels(self.power @ filters)

    @property
    def mfcc(self) -> Tensor:
        """(batch, frame, coefficient)."""
        return self.mel_db @ self._matrix(filterbanks.cosines(self.n_mels, N_MFCC))

    @cached_property
    def chroma(self) -> Tensor:
        """(batch, frame, pitch class)."""
        steps = tuning.tuning_steps(self.power, self.sample_rate).tolist()
        filters = [self._matrix(filterbanks.chroma(self.sample_rate, self.n_fft, step)) for step in steps]
        return functional.chromagram(self.power, torch.stack(filters))

    @property
    def tempo(self) -> Tensor:
        """(batch, 1) in beats per minute."""
        strength = rhythm.onset_strength(
            self.mel_db,
            aggregate=self.tempo_aggregate,
            lead_frames=self.n_fft // (2 * self.hop_length_samples),
        )
        return rhythm.tempo(strength, self.sample_rate, self.hop_length_samples)[:, None]

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


def _fma_42(track: Analysis) -> Sequence[Tensor]:
    mean = functional.means
    return (
        mean(track.mfcc),
        track.tempo,
        mean(track.chroma),
        mean(track.spectral_centroid),
        mean(track.spectral_contrast),
        mean(track.zero_crossing_rate),
    )


def _gtzan_57(track: Analysis) -> Sequence[Tensor]:
    both = functional.means_and_variances
    return (
        both(track.chroma.flatten(1)),
        both(track.root_mean_square),
        both(track.spectral_centroid),
        both(track.spectral_bandwidth),
        both(track.spectral_rolloff),
        both(track.zero_crossing_rate),
        both(track.harmonic),
        both(track.percussive),
        track.tempo,
        both(track.mfcc),
    )


_COLUMNS: dict[str, Callable[[Analysis], Sequence[Tensor]]] = {"fma-42": _fma_42, "gtzan-57": _gtzan_57}


class Extractor:
    """Computes the columns of one FeatureSpec."""

    def __init__(self, spec: FeatureSpec) -> None:
        if spec.audio is None or spec.name not in _COLUMNS:
            raise ValueError(f"{spec.name} cannot be computed from audio; these can: {', '.join(_COLUMNS)}")
        self.spec = spec
        self.source = spec.audio
        self._columns = _COLUMNS[spec.name]

    @torch.inference_mode()
    def extract(self, waveforms: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Features of several waveforms of different length.

        Args:
            waveforms: (batch, time) float32, mono, at the spec's sample rate.
            lengths: (batch,) samples that belong to each waveform, at least 1; what follows them is ignored.
                None: all of them.

        Returns:
            (batch, d) float32 in the spec's column order. A row is wholly finite, or wholly NaN where its
            waveform holds NaN, infinity or values whose squares leave float32.
        """
        lengths = [waveforms.shape[1]] * len(waveforms) if lengths is None else lengths
        threads = torch.get_num_threads()
        # Sums split over several threads differ in their last bit from those of one.
        torch.set_num_threads(1)
        try:
            rows = [self._row(one[:length]) for one, length in zip(waveforms, lengths, strict=True)]
        finally:
            torch.set_num_threads(threads)
        return torch.cat(rows) if rows else waveforms.new_empty(0, len(self.spec.columns))

    def _row(self, waveform: Tensor) -> Tensor:
        """(1, d). One track at a time: matrix products of another height add in another order, so that a
        track's last bits would depend on its neighbours. The copy starts at an aligned address, for the same
        reason, and one thread's cache holds one track better than several."""
        if len(waveform) == 0:
            raise ValueError("a waveform without samples has no features")
        track = Analysis(waveform[None].clone(memory_format=torch.contiguous_format), self.source)
        row = torch.cat([column.double() for column in self._columns(track)], dim=1).float()
        return row if bool(row.isfinite().all()) else torch.full_like(row, torch.nan)
