"""From waveforms to the columns of a FeatureSpec."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.nn.functional import pad

from groovemark.ml.features import fbank, functional
from groovemark.ml.features.analysis import Analysis
from groovemark.ml.features.compiled_analysis import CompiledAnalysis
from groovemark.ml.features.sets import AST_FBANK
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


def _mfcc_segments(track: Analysis) -> Tensor:
    return track.mfcc[..., :13]


def _log_mel(track: Analysis) -> Tensor:
    return functional.compressed(track.mel)[:, :187]


def _ast_fbank(track: Analysis) -> Tensor:
    return fbank.normalised(fbank.kaldi_fbank(track.waveforms, track.sample_rate), AST_FBANK.shape[0])


_WINDOWS: dict[str, Callable[[Analysis], Tensor]] = {
    "fma-42": _fma_42,
    "gtzan-57": _gtzan_57,
    "mfcc-segments": _mfcc_segments,
    "log-mel": _log_mel,
    "ast-fbank": _ast_fbank,
}
_WHOLE_WINDOWS = frozenset({"mfcc-segments", "log-mel"})
"""Tensors whose number of frames is fixed: a shorter waveform is filled with silence."""


def _row(*columns: Tensor) -> Tensor:
    return torch.cat([column.double() for column in columns], dim=1).float()


class Extractor:
    """Computes the columns, or the tensor, of one FeatureSpec.

    Args:
        is_compiled: whether waveforms on the processor take the compiled way; the numbers are the same within
            rounding, and waveforms on another device always take the way of tensors.
    """

    def __init__(self, spec: FeatureSpec, *, is_compiled: bool = True) -> None:
        if spec.audio is None or spec.name not in _WINDOWS:
            raise ValueError(f"{spec.name} cannot be computed from audio; these can: {', '.join(_WINDOWS)}")
        self.spec = spec
        self.source = spec.audio
        self._window = _WINDOWS[spec.name]
        self._is_compiled = is_compiled

    @torch.inference_mode()
    def extract(self, waveforms: Tensor, lengths: Sequence[int] | None = None) -> Tensor:
        """Features of several waveforms of different length.

        Args:
            waveforms: (batch, time) float32, mono, at the spec's sample rate.
            lengths: (batch,) samples that belong to each waveform, at least 1; what follows them is ignored.
                None: all of them.

        Returns:
            (batch, d) float32 in the spec's column order, or (batch, *spec.shape). A row is wholly finite, or
            wholly NaN where its waveform holds NaN, infinity or values whose squares leave float32.
        """
        lengths = [waveforms.shape[1]] * len(waveforms) if lengths is None else lengths
        threads = torch.get_num_threads()
        # Sums split over several threads differ in their last bit from those of one.
        torch.set_num_threads(1)
        try:
            rows = [self._one(one[:length]) for one, length in zip(waveforms, lengths, strict=True)]
        finally:
            torch.set_num_threads(threads)
        return torch.cat(rows) if rows else waveforms.new_empty(0, *self.spec.window_shape)

    def _one(self, waveform: Tensor) -> Tensor:
        """(1, d) or (1, *shape). One track at a time: matrix products of another height add in another order, so that a
        track's last bits would depend on its neighbours. The copy starts at an aligned address, for the same
        reason, and one thread's cache holds one track better than several."""
        if len(waveform) == 0:
            raise ValueError("a waveform without samples has no features")
        analysis = CompiledAnalysis if self._is_compiled and waveform.device.type == "cpu" else Analysis
        track = analysis(self._filled(waveform[None].clone(memory_format=torch.contiguous_format)), self.source)
        row = self._window(track)
        return row if bool(row.isfinite().all()) else torch.full_like(row, torch.nan)

    def _filled(self, waveform: Tensor) -> Tensor:
        if self.spec.name not in _WHOLE_WINDOWS:
            return waveform
        missing = round(self.source.window_s * self.source.sample_rate) - waveform.shape[1]
        return pad(waveform, (0, max(0, missing)))
