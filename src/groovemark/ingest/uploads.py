"""Reading a multipart form as it arrives: files go straight into the store, every limit holds before memory does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from groovemark.errors import MalformedRequest, RequestRejected, TooLarge
from groovemark.storage.local import IncomingObject, LocalStorage, StoredObject

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

HEAD_BYTES = 4096
"""As much of a file as recognising its kind needs."""

TEXT_FIELDS = frozenset({"model", "task", "on_error"})
FILE_FIELDS = frozenset({"csv_file", "files", "manifest"})
_TEXT_BYTES_MAX = 4096
_FILE_NAME_CHARACTERS_MAX = 500  # it becomes a track's external id, which an index row must hold
_OTHER_PARTS_MAX = 8
_FRAMING_BYTES = 64 * 1024  # boundaries and headers around a file of just the allowed size
_PARSE_BYTES = 512 * 1024  # parsed at once, in a thread: enough to make the hop worth it


@dataclass(frozen=True, slots=True)
class UploadLimits:
    csv_bytes_max: int
    audio_request_bytes_max: int
    audio_files_max: int
    audio_file_bytes_max: int

    @property
    def body_bytes_max(self) -> int:
        return max(self.csv_bytes_max, self.audio_request_bytes_max) + _FRAMING_BYTES


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file that lies in the store. `head`: its first bytes."""

    field: str
    file_name: str
    head: bytes
    stored: StoredObject


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    texts: dict[str, str]
    files: tuple[ReceivedFile, ...]

    def of(self, field: str) -> tuple[ReceivedFile, ...]:
        return tuple(file for file in self.files if file.field == field)


async def receive_form(
    body: AsyncIterator[bytes],
    *,
    content_type: str,
    content_length: int | None,
    storage: LocalStorage,
    limits: UploadLimits,
) -> ReceivedForm:
    """Store the form's files and return what came.

    Raises TooLarge as soon as a limit is passed, MalformedRequest when the body is no multipart form, RequestRejected
    for unknown fields. Whatever it raises, unfinished files are removed.
    """
    if content_length is not None and content_length > limits.body_bytes_max:
        raise TooLarge(f"The body has {content_length} bytes; at most {limits.body_bytes_max} are accepted.")
    with ExitStack() as cleanup:
        form = _Form(storage, limits, cleanup)
        parser = _parser(content_type, form)
        received = 0
        try:
            async for piece in _gathered(body):
                received += len(piece)
                if received > limits.body_bytes_max:
                    raise TooLarge(f"The body has more than the {limits.body_bytes_max} bytes that are accepted.")
                await asyncio.to_thread(parser.write, piece)
            parser.finalize()
        except FormParserError as error:
            raise MalformedRequest(f"The body is not a valid multipart form: {error}.") from error
        if not form.is_complete:
            raise MalformedRequest("The body ends in the middle of a part; was the connection cut?")
        return form.result()


def _parser(content_type: str, form: _Form) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedRequest("Send the files as multipart/form-data with a boundary, as HTML forms and curl -F do.")
    try:
        return MultipartParser(boundary, form.callbacks())
    except FormParserError as error:
        raise MalformedRequest(f"The multipart boundary cannot be used: {error}.") from error


async def _gathered(body: AsyncIterator[bytes]) -> AsyncIterator[bytes]:
    """The body in pieces of half a MiB instead of a network read each."""
    pieces, size = [], 0
    async for piece in body:
        pieces.append(piece)
        size += len(piece)
        if size >= _PARSE_BYTES:
            yield b"".join(pieces)
            pieces, size = [], 0
    if pieces:
        yield b"".join(pieces)


@dataclass
class _Part:
    """The part being read: a text or a file, known once its headers are complete."""

    disposition: bytearray = field(default_factory=bytearray)
    name: str = ""
    text: bytearray = field(default_factory=bytearray)
    file_name: str | None = None
    head: bytearray = field(default_factory=bytearray)
    incoming: IncomingObject | None = None
    bytes_max: int = _TEXT_BYTES_MAX


class _Form:
    """The parser's callbacks: they run in a thread, one at a time, in the order of the body."""

    def __init__(self, storage: LocalStorage, limits: UploadLimits, cleanup: ExitStack) -> None:
        self._storage, self._limits, self._cleanup = storage, limits, cleanup
        self._texts: dict[str, str] = {}
        self._files: list[ReceivedFile] = []
        self._parts = 0
        self._part = _Part()
        self._header = bytearray()
        self._value = bytearray()
        self.is_complete = False

    def callbacks(self) -> MultipartCallbacks:
        return {
            "on_part_begin": self._begin,
            "on_header_field": lambda data, start, end: self._header.extend(data[start:end]),
            "on_header_value": lambda data, start, end: self._value.extend(data[start:end]),
            "on_header_end": self._end_header,
            "on_headers_finished": self._open,
            "on_part_data": self._data,
            "on_part_end": self._end,
            "on_end": self._complete,
        }

    def result(self) -> ReceivedForm:
        return ReceivedForm(self._texts, tuple(self._files))

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.audio_files_max + _OTHER_PARTS_MAX:
            raise TooLarge(
                f"The form has more than {self._limits.audio_files_max} files; send a zip or several requests."
            )
        self._part = _Part()

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._part.disposition = self._value
        self._header, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        kind, options = parse_options_header(self._part.disposition.decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise MalformedRequest("A part of the form has no name.")
        if name not in TEXT_FIELDS | FILE_FIELDS:
            known = ", ".join(sorted(TEXT_FIELDS | FILE_FIELDS))
            raise RequestRejected(f"The form has an unknown field '{name[:64]}'; known are {known}.")
        self._part.name = name
        if name in FILE_FIELDS and b"filename" in options:
            self._open_file(options[b"filename"].decode("utf-8", "replace"))

    def _open_file(self, file_name: str) -> None:
        part = self._part
        if len(file_name) > _FILE_NAME_CHARACTERS_MAX:
            raise RequestRejected(f"A file name has more than {_FILE_NAME_CHARACTERS_MAX} characters.")
        part.file_name = "".join(character if character.isprintable() else "�" for character in file_name)
        part.bytes_max = {
            "csv_file": self._limits.csv_bytes_max,
            "files": self._limits.audio_request_bytes_max,
            "manifest": self._limits.audio_file_bytes_max,
        }[part.name]
        part.incoming = self._cleanup.enter_context(self._storage.receive())

    def _data(self, data: bytes, start: int, end: int) -> None:
        part, piece = self._part, memoryview(data)[start:end]
        if part.incoming is None:
            part.text += piece
            size = len(part.text)
        else:
            if len(part.head) < HEAD_BYTES:
                part.head += piece[: HEAD_BYTES - len(part.head)]
            part.incoming.write(bytes(piece))
            size = part.incoming.size_bytes
        if size > part.bytes_max:
            raise TooLarge(
                f"'{part.file_name or part.name}' has more than the {part.bytes_max} bytes that are accepted."
            )

    def _end(self) -> None:
        part = self._part
        if part.incoming is not None and part.file_name is not None:
            if part.file_name or part.incoming.size_bytes:  # an empty file input of an HTML form is no file
                self._files.append(ReceivedFile(part.name, part.file_name, bytes(part.head), part.incoming.commit()))
        elif part.name in TEXT_FIELDS:
            self._texts[part.name] = part.text.decode("utf-8", "replace").strip()
        elif part.text:
            raise RequestRejected(f"'{part.name}' must be a file: give it a file name (curl: -F {part.name}=@FILE).")

    def _complete(self) -> None:
        self.is_complete = True
