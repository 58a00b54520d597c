"""Bytes of any supported text encoding, plain or gzipped, as pieces of valid UTF-8."""

from __future__ import annotations

import codecs
import gzip
import io
import os
import sys
import zlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import BinaryIO, cast

from groovemark.errors import FileTypeRejected, TooLarge

PIECE_BYTES = 4 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}


@dataclass
class Progress:
    """How far a file has been read, counted as it is stored: compressed bytes where it is compressed."""

    bytes_read: int = 0
    size_bytes: int = 0

    @property
    def fraction_read(self) -> float:
        """From 0 to 1; what was read ahead counts as read."""
        return self.bytes_read / self.size_bytes if self.size_bytes else 0.0


def read_utf8(path: Path, *, size_limit_bytes: int, progress: Progress | None = None) -> Iterator[bytes]:
    """Pieces of about 4 MiB that together are the file as UTF-8 without BOM; a character may span two pieces.

    UTF-8 with or without BOM, UTF-16 by its BOM, either of them gzipped.

    Args:
        progress: kept up to date with every piece.

    Raises:
        FileTypeRejected: not text in one of these encodings; says at which byte and line.
        TooLarge: more than `size_limit_bytes` after decompression.
    """
    pieces = _read_plain(path, size_limit_bytes, progress or Progress())
    first = next(pieces, b"")
    if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
        raise FileTypeRejected("The text is UTF-32; save it as UTF-8.")
    encoding = _UTF16.get(first[:2], "utf-8")
    try:
        yield from _decoded(chain([first], pieces), encoding)
    except _Undecodable as error:
        line = 1 + _line_ends_before(path, error.offset_bytes, encoding)
        raise FileTypeRejected(
            f"Byte {error.offset_bytes:,} (line {line:,}) is not {encoding.upper()}; save the CSV as UTF-8."
        ) from error


class _Undecodable(Exception):  # becomes FileTypeRejected once the line is known
    def __init__(self, offset_bytes: int) -> None:
        super().__init__(offset_bytes)
        self.offset_bytes = offset_bytes


def _read_plain(path: Path, size_limit_bytes: int, progress: Progress) -> Iterator[bytes]:
    """The file's bytes, decompressed where they begin as gzip does."""
    with path.open("rb") as raw:
        progress.size_bytes = os.fstat(raw.fileno()).st_size
        is_gzip = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        size_bytes = 0
        while True:
            try:
                piece = stream.read(PIECE_BYTES)
            except (gzip.BadGzipFile, EOFError, zlib.error) as error:
                raise FileTypeRejected("The gzip file is damaged or cut short.") from error
            progress.bytes_read = raw.tell()
            size_bytes += len(piece)
            if size_bytes > size_limit_bytes:
                raise TooLarge(f"The CSV is larger than {size_limit_bytes:,} bytes when decompressed.")
            if not piece:
                return
            yield piece


def _decoded(pieces: Iterable[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    is_utf8, is_first = encoding == "utf-8", True
    offset_bytes = 0
    for piece in chain(pieces, [b""]):
        pending = decoder.getstate()[0]
        if is_utf8 and not pending and piece.isascii():
            found = piece
        else:
            try:
                text = decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                raise _Undecodable(offset_bytes - len(pending) + error.start) from error
            found = piece if is_utf8 else text.encode()
        offset_bytes += len(piece)
        yield found.removeprefix(codecs.BOM_UTF8) if is_first else found
        is_first = False


def _line_ends_before(path: Path, offset_bytes: int, encoding: str) -> int:
    """LF, CRLF or CR among the first bytes of a file that was read up to there before."""
    decoder = io.IncrementalNewlineDecoder(codecs.getincrementaldecoder(encoding)("ignore"), translate=True)
    found = 0
    for piece in _read_plain(path, sys.maxsize, Progress()):
        wanted = piece[:offset_bytes]
        offset_bytes -= len(wanted)
        found += decoder.decode(wanted, final=not offset_bytes).count("\n")
        if not offset_bytes:
            break
    return found
