"""Audio files as float32 mono at one sample rate, read as a stream, within limits.

On wav, flac, mp3 and ogg the samples are those of librosa.load, bit for bit: the mean of the channels, then
soxr's high-quality resampler. libsoxr gives the same bits whether it is fed at once or in blocks.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from os import PathLike
from typing import cast

import numpy as np
import soxr
from numpy.typing import NDArray

from groovemark.errors import AudioRejected
from groovemark.ml.audio.mixing import mix_integer_pair, mix_pair
from groovemark.ml.audio.sources import BLOCK_FRAMES, AudioFile, AudioInfo, Block, open_audio, undecodable

Waveform = NDArray[np.float32]
"""(time,) mono."""

SHORTEST_S = 0.5
LONGEST_S = 4 * 3600.0
CHANNELS_MAX = 8
LOWEST_SAMPLE_RATE = 1000
"""From 1 Hz, a wav of six kilobytes becomes 260 MB, which libsoxr gives at once."""


def probe(path: str | PathLike[str]) -> AudioInfo:
    """What the header says. Raises AudioRejected for anything that `decode` would refuse by its header."""
    with open_audio(path) as audio:
        info = audio.info
        check_header(info)
        return info


def decode(path: str | PathLike[str], sample_rate: int) -> Waveform:
    """The whole file: (time,) at `sample_rate` Hz. Raises AudioRejected."""
    with open_audio(path) as audio:
        return np.concatenate(list(mono_blocks(audio, sample_rate)))


def check_header(info: AudioInfo) -> None:
    """Refuses what is out of limits, as far as the header tells."""
    if not 1 <= info.channels <= CHANNELS_MAX:
        raise AudioRejected(
            "too_many_channels",
            f"The file has {info.channels} channels; at most {CHANNELS_MAX} are supported.",
        )
    if info.sample_rate < LOWEST_SAMPLE_RATE:
        raise AudioRejected(
            "unsupported_media_type",
            f"The sample rate is {info.sample_rate} Hz; at least {LOWEST_SAMPLE_RATE} are needed.",
        )
    if info.duration_s is not None:
        _check_duration(info.duration_s)


def _check_duration(duration_s: float) -> None:
    if duration_s < SHORTEST_S:
        raise AudioRejected("too_short", f"The audio lasts {duration_s:.2f} s; at least {SHORTEST_S} s are needed.")
    if duration_s > LONGEST_S:
        raise AudioRejected("too_long", f"The audio lasts over {LONGEST_S / 3600:.0f} h; cut it into shorter files.")


def mono_blocks(audio: AudioFile, sample_rate: int) -> Iterator[Waveform]:
    """An open file's samples, mixed down and resampled, in blocks of any length.

    Memory does not grow with the file. Raises AudioRejected where the limits are passed: the header may have
    lied.
    """
    info = audio.info
    check_header(info)
    resampler = _Resampler(info.sample_rate, sample_rate)
    # One room for the whole file, because fresh memory costs page faults.
    room = np.empty(BLOCK_FRAMES, dtype=np.float32)
    n_frames = 0
    for block in audio.blocks():
        n_frames += len(block)
        if n_frames > LONGEST_S * info.sample_rate:
            _check_duration(n_frames / info.sample_rate)
        if len(block) > len(room):
            room = np.empty(len(block), dtype=np.float32)
        mixed = room[: len(block)]
        mix_down(block, mixed)
        yield resampler.push(mixed)
    _check_duration(n_frames / info.sample_rate)
    yield resampler.finish()


def mix_down(block: Block, mixed: Waveform) -> None:
    """Mean of the channels: (frame, channel) → mixed (frame,), with the bits of librosa's np.mean."""
    channels = block.shape[1]
    if channels == 1:
        scale = 1 / 32_768 if block.dtype == np.int16 else 1.0
        np.multiply(block[:, 0], np.float32(scale), out=mixed)
    elif block.dtype == np.int16:
        mix_integer_pair(cast("NDArray[np.int16]", block).reshape(-1), mixed)
    elif channels == 2:
        mix_pair(cast("NDArray[np.float32]", block).reshape(-1), mixed)
    else:
        np.mean(block.T, axis=0, out=mixed)


class _Resampler:
    """Streams one channel through libsoxr; in all it gives ⌈samples · to / from⌉ samples, as librosa does."""

    def __init__(self, from_rate: int, to_rate: int) -> None:
        self._ratio = float(to_rate) / from_rate
        self._taken = self._given = 0
        self._soxr: soxr.ResampleStream | None = None
        if from_rate != to_rate:
            try:
                self._soxr = soxr.ResampleStream(from_rate, to_rate, 1, dtype="float32", quality="HQ")
            except RuntimeError as error:
                raise undecodable() from error

    def push(self, block: Waveform) -> Waveform:
        self._taken += len(block)
        return self._fitted(self._soxr.resample_chunk(block)) if self._soxr else block.copy()

    def finish(self) -> Waveform:
        nothing: Waveform = np.empty(0, dtype=np.float32)
        if self._soxr is None:
            return nothing
        rest = self._fitted(self._soxr.resample_chunk(nothing, last=True))
        missing = math.ceil(self._taken * self._ratio) - self._given
        return np.pad(rest, (0, max(0, missing)))

    def _fitted(self, block: Waveform) -> Waveform:
        block = block[: max(0, math.ceil(self._taken * self._ratio) - self._given)]
        self._given += len(block)
        return block
