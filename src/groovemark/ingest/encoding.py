"""Bytes of any supported text encoding, plain or gzipped, as pieces of valid UTF-8."""

from __future__ import annotations

import codecs
import gzip
import re
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, cast

from groovemark.errors import FileTypeRejected, TooLarge

PIECE_BYTES = 4 << 20
_GZIP_MAGIC = b"\x1f\x8b"
_UTF16 = {codecs.BOM_UTF16_LE: "utf-16-le", codecs.BOM_UTF16_BE: "utf-16-be"}
_LINE_END = re.compile(rb"\r\n|\r|\n")


def read_utf8(path: Path, *, size_limit_bytes: int) -> Iterator[bytes]:
    """Pieces of about 4 MiB that together are the file as UTF-8 without BOM; a character may span two pieces.

    UTF-8 with or without BOM, UTF-16 by its BOM, either of them gzipped.

    Raises:
        FileTypeRejected: not text in one of these encodings; says at which byte and line.
        TooLarge: more than `size_limit_bytes` after decompression.
    """
    with path.open("rb") as raw:
        is_gzip = raw.read(2) == _GZIP_MAGIC
        raw.seek(0)
        stream = cast("BinaryIO", gzip.GzipFile(fileobj=raw)) if is_gzip else raw
        pieces = _limited(stream, size_limit_bytes)
        first = next(pieces, b"")
        if first.startswith((codecs.BOM_UTF32_LE, codecs.BOM_UTF32_BE)):
            raise FileTypeRejected("The text is UTF-32; save it as UTF-8.")
        encoding = _UTF16.get(first[:2])
        if encoding:
            yield from _transcoded(first, pieces, encoding)
        else:
            yield from _checked(first, pieces)


def _limited(stream: BinaryIO, size_limit_bytes: int) -> Iterator[bytes]:
    size = 0
    while True:
        try:
            piece = stream.read(PIECE_BYTES)
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise FileTypeRejected("The gzip file is damaged or cut short.") from error
        size += len(piece)
        if size > size_limit_bytes:
            raise TooLarge(f"The CSV is larger than {size_limit_bytes:,} bytes when decompressed.")
        if not piece:
            return
        yield piece


def _checked(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder("utf-8")()
    bom = len(codecs.BOM_UTF8) if first.startswith(codecs.BOM_UTF8) else 0
    place = _Place()
    for piece in _chain(first, rest):
        if not (piece.isascii() and not decoder.getstate()[0]):
            place.decode(decoder, piece)
        place.advance(piece)
        yield piece[bom:]
        bom = 0
    place.decode(decoder, b"", final=True)


def _transcoded(first: bytes, rest: Iterator[bytes], encoding: str) -> Iterator[bytes]:
    decoder = codecs.getincrementaldecoder(encoding)()
    place = _Place()
    bom = "\ufeff"
    for piece in _chain(first, rest):
        text = place.decode(decoder, piece)
        encoded = text.removeprefix(bom).encode()
        bom = ""
        place.advance(encoded, size_bytes=len(piece))
        yield encoded
    place.decode(decoder, b"", final=True)


def _chain(first: bytes, rest: Iterator[bytes]) -> Iterator[bytes]:
    if first:
        yield first
    yield from rest


class _Place:
    """How far the text was read, so that an undecodable byte can be named by offset and line."""

    def __init__(self) -> None:
        self.offset_bytes = 0
        self.line = 1
        self._ends_in_return = False

    def advance(self, utf8: bytes, *, size_bytes: int | None = None) -> None:
        self.offset_bytes += len(utf8) if size_bytes is None else size_bytes
        self.line += self._line_ends(utf8)
        self._ends_in_return = utf8.endswith(b"\r")

    def decode(self, decoder: codecs.IncrementalDecoder, piece: bytes, *, final: bool = False) -> str:
        pending = decoder.getstate()[0]
        try:
            return decoder.decode(piece, final)
        except UnicodeDecodeError as error:
            before = (pending + piece)[: error.start].decode(error.encoding, "ignore").encode()
            offset = self.offset_bytes - len(pending) + error.start
            line = self.line + self._line_ends(before)
            name = error.encoding.upper()
            raise FileTypeRejected(f"Byte {offset:,} (line {line:,}) is not {name}; save the CSV as UTF-8.") from error

    def _line_ends(self, utf8: bytes) -> int:
        ends = utf8.count(b"\n") if b"\r" not in utf8 else len(_LINE_END.findall(utf8))
        # CRLF cut in two by the end of a piece is still one line end.
        return ends - (self._ends_in_return and utf8.startswith(b"\n"))
