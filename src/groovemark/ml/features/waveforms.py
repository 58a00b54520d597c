"""From one audio file to the waveforms of its windows; what a sandbox's child runs beside a graphics card.

Without torch: such children start in a second and stay small.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np

from groovemark.errors import AudioRejected
from groovemark.ml.audio import mixing
from groovemark.ml.audio.decode import Waveform, mono_blocks
from groovemark.ml.audio.messages import FileEnd, not_finite
from groovemark.ml.audio.segments import windows
from groovemark.ml.audio.sources import open_audio
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import AudioSource


class FileWindows:
    """A file's windows, (time,) each, decoded as a stream, once.

    Iterating raises AudioRejected: the file cannot be decoded or is out of limits.
    """

    def __init__(self, path: str, source: AudioSource) -> None:
        self._path, self._source = path, source
        self._n_samples = 0
        self._title: str | None = None

    def __iter__(self) -> Iterator[Waveform]:
        source = self._source
        with open_audio(self._path) as audio:
            self._title = audio.info.title
            is_empty = True
            for window in windows(
                self._counted(mono_blocks(audio, source.sample_rate)),
                length_samples=round(source.window_s * source.sample_rate),
                hop_samples=round(source.hop_s * source.sample_rate),
                shortest_samples=round(source.shortest_window_s * source.sample_rate),
                offset_samples=round(source.offset_s * source.sample_rate),
            ):
                is_empty = False
                yield window
        if is_empty:
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
    source = FEATURE_SETS[spec_name].audio
    if source is None:
        raise ValueError(f"{spec_name} cannot be computed from audio")
    cut = FileWindows(path, source)
    for window in cut:
        if not np.isfinite(window).all():
            raise not_finite()
        yield window
    yield cut.end
