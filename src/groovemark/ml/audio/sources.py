"""The two decoders behind one face: libsndfile for wav, flac, mp3, ogg; FFmpeg's libraries for m4a and aac.

Both are told what they may read. libsndfile gets an open file, never a name, and only four of its formats
pass. FFmpeg gets an open file, one demuxer and no protocol: no playlist or reference in it is ever followed.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from io import FileIO
from itertools import chain
from os import PathLike
from typing import Any, Protocol

import av
import numpy as np
import soundfile
from numpy.typing import NDArray

from groovemark.errors import AudioRejected

Block = NDArray[np.float32] | NDArray[np.int16]
"""(frame, channel), in −1..1 unless the file holds more, or one or two channels of 16 bits.

Good until the next one is asked for."""

BLOCK_FRAMES = 1 << 16
TITLE_CHARACTERS_MAX = 1024


@dataclass(frozen=True, slots=True)
class AudioInfo:
    """What a file says of itself before it is decoded.

    Attributes:
        duration_s: None where the header does not tell; a damaged header may lie.
        title: of its tag.
        format: wav, flac, mp3, ogg, m4a or aac.
    """

    duration_s: float | None
    sample_rate: int
    channels: int
    title: str | None
    format: str


class AudioFile(Protocol):
    """An open audio file."""

    @property
    def info(self) -> AudioInfo: ...
    def blocks(self) -> Iterator[Block]:
        """The samples, once, from the beginning."""
        ...

    def close(self) -> None: ...


def _clean_title(title: str | None) -> str | None:
    printable = "".join(char if char.isprintable() else " " for char in title or "")
    return " ".join(printable.split())[:TITLE_CHARACTERS_MAX] or None


def undecodable() -> AudioRejected:
    return AudioRejected("undecodable", "The file is damaged or is no audio; export it again as wav, flac or mp3.")


def _unsupported(what: str) -> AudioRejected:
    message = f"There is no support for {what}; send wav, flac, mp3, ogg, or AAC or ALAC as m4a."
    return AudioRejected("unsupported_media_type", message)


_SNDFILE_FORMATS = {"WAV": "wav", "WAVEX": "wav", "RF64": "wav", "FLAC": "flac", "OGG": "ogg", "MP3": "mp3"}
_UNKNOWN_FRAMES = 1 << 62


class _Unseekable(soundfile.SoundFile):  # type: ignore[misc]  # soundfile has no types
    """soundfile seeks after every read of a seekable file, to where it already is.

    libmpg123 then starts its synthesis afresh, and the next block differs from a continuous decode.
    """

    def seekable(self) -> bool:
        return False


class SndFile:
    """wav, flac, mp3, ogg."""

    def __init__(self, file: FileIO) -> None:
        try:
            self._file = _Unseekable(file.fileno(), closefd=False)
        except soundfile.LibsndfileError as error:
            raise undecodable() from error
        if self._file.format not in _SNDFILE_FORMATS:
            self._file.close()
            raise _unsupported(f"{self._file.format} files")

    @property
    def info(self) -> AudioInfo:
        frames = int(self._file.frames)
        return AudioInfo(
            duration_s=frames / self._file.samplerate if frames < _UNKNOWN_FRAMES else None,
            sample_rate=int(self._file.samplerate),
            channels=int(self._file.channels),
            title=_clean_title(self._file.copy_metadata().get("title")),
            format=_SNDFILE_FORMATS[self._file.format],
        )

    def blocks(self) -> Iterator[Block]:
        # libsndfile's way from 16 bits to floats takes five times as long as reading them and mixing them.
        is_plain = self._file.subtype == "PCM_16" and self.info.format == "wav" and self._file.channels <= 2
        # One block for the whole file: a fresh one would be fresh pages, each a page fault.
        room = np.empty((BLOCK_FRAMES, self._file.channels), dtype=np.int16 if is_plain else np.float32)
        try:
            while n_frames := self._file.buffer_read_into(room, room.dtype.name):
                yield room[:n_frames]
        except soundfile.LibsndfileError as error:
            raise undecodable() from error

    def close(self) -> None:
        self._file.close()


_CODECS = frozenset({"aac", "alac"})
_NO_PROTOCOL = {"protocol_whitelist": "none"}
_SAMPLE_TYPES: dict[str, tuple[type[np.generic], float]] = {
    "s16": (np.int16, 2.0**15),
    "s32": (np.int32, 2.0**31),
    "flt": (np.float32, 1.0),
}
"""By FFmpeg's name: how a sample is stored, and its full scale."""


class Container:
    """m4a (mp4) and bare aac (ADTS)."""

    def __init__(self, file: FileIO, demuxer: str) -> None:
        self._format = "m4a" if demuxer == "mov" else demuxer
        try:
            self._container: Any = av.open(file, format=demuxer, options=_NO_PROTOCOL, metadata_errors="replace")
        except (av.FFmpegError, ValueError) as error:
            raise undecodable() from error
        try:
            self._begin()
        except BaseException:
            self._container.close()
            raise

    def _begin(self) -> None:
        streams = self._container.streams.audio
        if not streams:
            raise AudioRejected("silent_stream", "The file holds no audio stream.")
        self._stream = streams[0]
        codec = self._stream.codec_context
        if codec is None or codec.name not in _CODECS:
            raise _unsupported(f"mp4 files with the codec {codec.name if codec else 'unknown'}")
        codec.thread_count = 1
        self._frames = self._decoded()
        # The header of HE-AAC names half the rate and sometimes half the channels; the first frame knows.
        first = next(self._frames, None)
        if first is None:
            raise AudioRejected("silent_stream", "The file's audio stream is empty.")
        self._first = first
        self._sample_rate, self._channels = first.sample_rate, first.layout.nb_channels

    def _decoded(self) -> Iterator[Any]:
        try:
            yield from self._container.decode(self._stream)
        except (av.FFmpegError, ValueError) as error:
            raise undecodable() from error

    @property
    def info(self) -> AudioInfo:
        duration_s: float | None = None
        # FFmpeg guesses the length of bare AAC from its bit rate.
        if self._format == "m4a" and self._stream.duration is not None:
            duration_s = float(self._stream.duration * self._stream.time_base)
        tags = {
            name.lower(): text for name, text in [*self._stream.metadata.items(), *self._container.metadata.items()]
        }
        title = tags.get("title")
        return AudioInfo(duration_s, self._sample_rate, self._channels, _clean_title(title), self._format)

    def blocks(self) -> Iterator[Block]:
        name = self._first.format.name.removesuffix("p")
        if name not in _SAMPLE_TYPES:
            raise _unsupported(f"samples stored as {name}")
        stored_as, full_scale = _SAMPLE_TYPES[name]
        is_plain = stored_as == np.int16 and self._channels <= 2
        scale = np.float32(1.0 if is_plain else 1.0 / full_scale)
        # Frames are gathered: thousands of samples each, they would be small bites for all that follows.
        room = np.empty((BLOCK_FRAMES, self._channels), dtype=np.int16 if is_plain else np.float32)
        n_held = 0
        for frame in chain([self._first], self._frames):
            self._check_unchanged(frame)
            if n_held + frame.samples > len(room):
                yield _scaled(room[:n_held], scale)
                n_held = 0
                if frame.samples > len(room):
                    room = np.empty((frame.samples, self._channels), dtype=room.dtype)
            _copy_samples(frame, stored_as, room[n_held : n_held + frame.samples])
            n_held += frame.samples
        yield _scaled(room[:n_held], scale)

    def _check_unchanged(self, frame: Any) -> None:
        first = self._first
        if frame.format.name != first.format.name or (frame.sample_rate, frame.layout.nb_channels) != (
            self._sample_rate,
            self._channels,
        ):
            raise AudioRejected("undecodable", "Sample rate, channels or sample type change in mid-file.")

    def close(self) -> None:
        self._container.close()


def _copy_samples(frame: Any, stored_as: type[np.generic], room: Block) -> None:
    """One of FFmpeg's frames → (frame, channel), as numbers of the room's type.

    Straight from FFmpeg's memory: PyAV's own to_ndarray would copy it once more.
    """
    if frame.format.is_planar:
        for channel, plane in enumerate(frame.planes):
            room[:, channel] = np.frombuffer(plane, stored_as, len(room))
    else:
        room.reshape(-1)[:] = np.frombuffer(frame.planes[0], stored_as, room.size)


def _scaled(block: Block, scale: np.float32) -> Block:
    """Full scale is a power of two: multiplying by its inverse, in place, rounds nothing."""
    if scale != 1:
        block *= scale
    return block


def _demuxer(file: FileIO) -> str | None:
    """FFmpeg's demuxer for what libsndfile does not read; None for the rest."""
    head = file.read(10)
    if head.startswith(b"ID3") and len(head) == 10:
        first, second, third, last = head[6:]  # seven bits a byte
        file.seek(10 + (first << 21 | second << 14 | third << 7 | last))
        head = file.read(10)
    file.seek(0)
    if head[4:8] == b"ftyp":
        return "mov"
    is_adts = head[:1] == b"\xff" and len(head) > 1 and head[1] & 0xF6 == 0xF0
    return "aac" if is_adts else None


@contextmanager
def open_audio(path: str | PathLike[str]) -> Iterator[AudioFile]:
    """The file at `path`, opened with the decoder its content asks for.

    Raises AudioRejected where neither decoder knows it.
    """
    try:
        # Unbuffered: libsndfile reads on from where the descriptor itself stands.
        file = FileIO(os.fspath(path))
    except OSError as error:
        raise AudioRejected("undecodable", f"The file cannot be opened: {error.strerror}.") from error
    with file:
        demuxer = _demuxer(file)
        audio: AudioFile = Container(file, demuxer) if demuxer else SndFile(file)
        with closing(audio):
            yield audio
