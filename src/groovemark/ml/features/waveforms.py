"""From one audio file to the waveforms of its windows; what a sandbox's child runs beside a graphics card.

Without torch: such children start in a second and stay small.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from groovemark.errors import AudioRejected
from groovemark.ml.audio import mixing
from groovemark.ml.audio.decode import Waveform, mono_blocks
from groovemark.ml.audio.messages import NUMBERS_MAX, FileEnd, not_finite
from groovemark.ml.audio.segments import windows
from groovemark.ml.audio.sources import open_audio
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import row_length


class FileWindows:
    """A file's windows, (time,) each, decoded as a stream, once.

    Iterating raises AudioRejected: the file cannot be decoded or is out of limits.
    """

    def __init__(self, path: str, spec: FeatureSpec) -> None:
        if spec.audio is None:
            raise ValueError(f"{spec.name} cannot be computed from audio")
        self._path, self._source, self._name = path, spec.audio, spec.name
        self._windows_max = NUMBERS_MAX // row_length(spec)  # more is neither answered by a child nor kept in a cache
        self._n_samples = 0
        self._title: str | None = None

    def __iter__(self) -> Iterator[Waveform]:
        source = self._source
        with open_audio(self._path) as audio:
            self._title = audio.info.title
            n_windows = 0
            for window in windows(
                self._counted(mono_blocks(audio, source.sample_rate)),
                length_samples=round(source.window_s * source.sample_rate),
                hop_samples=round(source.hop_s * source.sample_rate),
                shortest_samples=round(source.shortest_window_s * source.sample_rate),
                offset_samples=round(source.offset_s * source.sample_rate),
            ):
                n_windows += 1
                if n_windows > self._windows_max:
                    longest_min = self._windows_max * source.hop_s / 60
                    raise AudioRejected("too_long", f"{self._name} takes at most {longest_min:.0f} min of audio.")
                yield window
        if not n_windows:
            raise AudioRejected("too_short", "The audio ends before the first window begins.")

    def _counted(self, blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        for block in blocks:
            self._n_samples += len(block)
            yield block

    @property
    def end(self) -> FileEnd:
        """What is known when the last window has come."""
        return FileEnd(self._title, self._n_samples / self._source.sample_rate)


def warm_up() -> None:
    mixing.warm_up()


def decode_file(path: str, spec_name: str) -> Iterator[Waveform | FileEnd]:
    """The windows as the spec wants them, then the file's end. Raises AudioRejected."""
    cut = FileWindows(path, FEATURE_SETS[spec_name])
    for window in cut:
        if not np.isfinite(window).all():
            raise not_finite()
        yield window
    yield cut.end
