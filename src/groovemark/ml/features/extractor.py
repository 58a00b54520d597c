"""From waveforms to the columns of a FeatureSpec."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor

from groovemark.ml.features import fbank, functional
from groovemark.ml.features.analysis import Analysis
from groovemark.ml.features.arithmetic import whole_float32
from groovemark.ml.features.compiled_analysis import CompiledAnalysis
from groovemark.ml.features.sets import AST_FBANK, AST_FBANK_3S, WAVEFORM_10S
from groovemark.ml.features.spec import FeatureSpec


def _fma_42(track: Analysis) -> Tensor:
    mean = track.means
    return _row(
        mean(track.mfcc),
        track.tempo,
        mean(track.chroma),
        mean(track.spectral_centroid),
        mean(track.spectral_contrast),
        mean(track.zero_crossing_rate),
    )


def _gtzan_57(track: Analysis) -> Tensor:
    both = track.moments
    return _row(
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


def _composer_118(track: Analysis) -> Tensor:
    both = track.means_and_deviations
    mfcc, energy = track.mfcc[..., :13], track.root_mean_square
    loudest, softest = energy.amax(dim=1, keepdim=True), energy.amin(dim=1, keepdim=True)
    of_mfcc = [both(mfcc).view(-1, 13, 2), mfcc.amax(dim=1)[..., None], mfcc.amin(dim=1)[..., None]]
    return _row(
        torch.cat(of_mfcc, dim=-1).flatten(1),
        both(track.spectral_centroid),
        both(track.spectral_rolloff),
        both(track.spectral_bandwidth),
        both(track.zero_crossing_rate),
        track.energy_ratio,
        track.tempo_of_onsets,
        track.beat_deviation,
        both(track.chroma),
        both(track.tonnetz),
        both(energy),
        loudest,
        loudest - softest,
        track.onset_rate,
        both(track.spectral_contrast),
    )


def _mfcc_segments(track: Analysis) -> Tensor:
    return track.mfcc[..., :13]


def _log_mel(track: Analysis) -> Tensor:
    return functional.compressed(track.mel)[:, :187]


def _ast_fbank(track: Analysis) -> Tensor:
    return fbank.normalised(fbank.kaldi_fbank(track.waveforms, track.sample_rate), AST_FBANK.shape[0])


def _ast_fbank_3s(track: Analysis) -> Tensor:
    n_frames = AST_FBANK_3S.shape[0]
    frames = fbank.kaldi_fbank(track.waveforms, track.sample_rate)
    return fbank.normalised(functional.repeated(frames, n_frames), n_frames)


def _waveform_10s(track: Analysis) -> Tensor:
    samples = track.waveforms
    samples = torch.where(samples.square().isfinite(), samples, torch.nan)
    return functional.repeated(samples, WAVEFORM_10S.shape[0])


_WINDOWS: dict[str, Callable[[Analysis], Tensor]] = {
    "fma-42": _fma_42,
    "gtzan-57": _gtzan_57,
    "composer-118": _composer_118,
    "mfcc-segments": _mfcc_segments,
    "log-mel": _log_mel,
    "ast-fbank": _ast_fbank,
    "ast-fbank-3s": _ast_fbank_3s,
    "waveform-10s": _waveform_10s,
}
_WHOLE_WINDOWS = frozenset({"mfcc-segments", "log-mel"})
"""Tensors whose number of frames is fixed: a shorter waveform is filled with silence, a longer one cut off."""

SAMPLES_AT_ONCE = 32 * 30 * 22_050
"""Of waveforms that are computed together: 32 of 30 s keep a large device busy, and take it some 3 GB."""


def _row(*columns: Tensor) -> Tensor:
    return torch.cat([column.double() for column in columns], dim=1).float()


class Extractor:
    """Computes the columns, or the tensor, of one FeatureSpec.

    On the processor a track has the same bits alone and among any others, on any number of threads, and whatever
    precision the program has chosen for products. On another device waveforms of one length are computed together:
    there its last bits may depend on its neighbours, and every number is within a thousandth of the processor's.

    Args:
        is_compiled: whether waveforms on the processor take the compiled way; False takes the way of other devices.
            The numbers are the same within rounding.
    """

    def __init__(self, spec: FeatureSpec, *, is_compiled: bool = True) -> None:
        if spec.audio is None or spec.name not in _WINDOWS:
            raise ValueError(f"{spec.name} cannot be computed from audio; these can: {', '.join(_WINDOWS)}")
        self.spec = spec
        self.source = spec.audio
        self._window = _WINDOWS[spec.name]
        self._is_compiled = is_compiled
        window_samples = round(self.source.window_s * self.source.sample_rate)
        self._whole_samples = window_samples if spec.name in _WHOLE_WINDOWS else None

    @torch.inference_mode()
    def extract(self, waveforms: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Features of several waveforms of different length.

        On a device those of one length are computed together: windows of long tracks are, the last one of each is not.

        Args:
            waveforms: (batch, time) float32, mono, at the spec's sample rate.
            lengths: (batch,) samples that belong to each waveform, at least 1; what follows them is ignored.
                None: all of them.

        Returns:
            (batch, d) float32 in the spec's column order, or (batch, *spec.shape), on the waveforms' device. A row is
            wholly finite, or wholly NaN where its waveform holds NaN, infinity or values whose squares leave float32.

        Raises:
            ValueError: the waveforms are of another type or shape, or a length is none of theirs.
        """
        if waveforms.ndim != 2 or waveforms.dtype != torch.float32:
            raise ValueError(f"waveforms are (batch, time) float32, not {tuple(waveforms.shape)} {waveforms.dtype}")
        lengths = [waveforms.shape[1]] * len(waveforms) if lengths is None else lengths
        if len(lengths) != len(waveforms):
            raise ValueError(f"{len(waveforms)} waveforms need as many lengths, not {len(lengths)}")
        for number, length in enumerate(lengths):
            if not 1 <= length <= waveforms.shape[1]:
                raise ValueError(f"waveform {number} cannot have {length} samples: 1 to {waveforms.shape[1]} can be")
        with whole_float32(waveforms.device):
            return self._rows(waveforms, lengths)

    def _rows(self, waveforms: Tensor, lengths: Sequence[int]) -> Tensor:
        rows = waveforms.new_empty(len(waveforms), *self.spec.window_shape)
        if self._is_compiled and waveforms.device.type == "cpu":
            # One track at a time: matrix products of another height add in another order, so that a track's last bits
            # would depend on its neighbours; and one thread's cache holds one track better than several.
            for number, length in enumerate(lengths):
                rows[number] = self._computed(CompiledAnalysis, self._cut(waveforms, [number], [length]))[0]
            return rows
        for numbers in self._bunches(lengths):
            bunch = self._cut(waveforms, numbers, [lengths[number] for number in numbers])
            rows[torch.tensor(numbers, device=rows.device)] = self._computed(Analysis, bunch)
        return rows

    def _bunches(self, lengths: Sequence[int]) -> Iterator[list[int]]:
        """The places of waveforms that are computed together: of one length, and as many as the device may hold."""
        places: dict[int, list[int]] = {}
        for number, length in enumerate(lengths):
            places.setdefault(self._whole_samples or length, []).append(number)
        for length, numbers in places.items():
            at_once = max(1, SAMPLES_AT_ONCE // length)
            yield from (numbers[start : start + at_once] for start in range(0, len(numbers), at_once))

    def _cut(self, waveforms: Tensor, numbers: list[int], lengths: list[int]) -> Tensor:
        """A copy of some waveforms, (bunch, time): of their own length, or of the whole window that the set takes.

        The copy starts at an aligned address: at another, the sums of a track's samples would be others.
        """
        bunch = waveforms.new_zeros(len(numbers), self._whole_samples or lengths[0])
        for row, number, length in zip(bunch, numbers, lengths, strict=True):
            samples = waveforms[number, : min(length, len(row))]
            row[: len(samples)] = samples
        return bunch

    def _computed(self, analysis: type[Analysis], bunch: Tensor) -> Tensor:
        """(bunch, *spec.window_shape)."""
        rows = self._window(analysis(bunch, self.source))
        is_finite = rows.isfinite().flatten(1).all(dim=1)
        return torch.where(is_finite.view(-1, *[1] * (rows.ndim - 1)), rows, torch.nan)
