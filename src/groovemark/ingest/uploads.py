"""Reading a multipart form as it arrives: files go straight into the store, every limit holds before memory does."""

from __future__ import annotations

import asyncio
import io
from collections.abc import AsyncIterator, Collection
from contextlib import ExitStack, asynccontextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from groovemark.errors import MalformedRequest, RequestRejected, TooLarge, shorten
from groovemark.ingest.sniff import Content, sniff
from groovemark.storage.base import IncomingObject, Storage, StoredObject

if TYPE_CHECKING:
    from python_multipart.multipart import MultipartCallbacks

HEAD_BYTES = 4096
"""As much of a file as recognising its kind needs."""

TEXT_FIELDS = frozenset({"model", "task", "on_error"})
FILE_FIELDS = frozenset({"csv_file", "files", "manifest"})
AUDIO_FIELDS = frozenset({"files", "manifest"})
_TEXT_BYTES_MAX = 4096
_FILE_NAME_CHARACTERS_MAX = 500  # it becomes a track's external id, which an index row must hold
_OTHER_PARTS_MAX = 8
_FRAMING_BYTES = 64 * 1024  # boundaries and headers around a file of just the allowed size,
_PART_FRAMING_BYTES = 1024  # and around each of many
SILENCE_S = 60.0
"""A client that sends nothing for so long is given up."""
_PARSE_BYTES = 512 * 1024  # parsed at once, in a thread: enough to make the hop worth it


@dataclass(frozen=True, slots=True)
class UploadLimits:
    csv_bytes_max: int
    audio_request_bytes_max: int
    audio_files_max: int
    audio_file_bytes_max: int

    @property
    def body_bytes_max(self) -> int:
        framing = _FRAMING_BYTES + _PART_FRAMING_BYTES * self.audio_files_max
        return max(self.csv_bytes_max, self.audio_request_bytes_max) + framing


@dataclass(frozen=True, slots=True)
class ReceivedFile:
    """A file of the form, complete. `head`: its first bytes."""

    field: str
    file_name: str
    head: bytes
    incoming: IncomingObject

    @property
    def stored(self) -> StoredObject:
        return self.incoming.stored


@dataclass(frozen=True, slots=True)
class ReceivedForm:
    texts: dict[str, str]
    files: tuple[ReceivedFile, ...]
    storage: Storage

    def of(self, field: str) -> tuple[ReceivedFile, ...]:
        return tuple(file for file in self.files if file.field == field)

    def keep(self) -> None:
        """Move the files into the store; those of a form that is not kept vanish with it."""
        self.storage.commit(file.incoming for file in self.files)


@asynccontextmanager
async def receive_form(
    body: AsyncIterator[bytes],
    *,
    content_type: str,
    content_length: int | None,
    storage: Storage,
    limits: UploadLimits,
    silence_s: float = SILENCE_S,
    fields: Collection[str] = TEXT_FIELDS | FILE_FIELDS,
) -> AsyncIterator[ReceivedForm]:
    """The form that came. Its files are removed at the end of the context, whatever happens, unless they were kept.

    Raises TooLarge as soon as a limit is passed, MalformedRequest when the body is no multipart form or nothing of it
    comes for `silence_s`, RequestRejected for unknown fields.
    """
    if content_length is not None and content_length > limits.body_bytes_max:
        raise TooLarge(f"The body has {content_length} bytes; at most {limits.body_bytes_max} are accepted.")
    with ExitStack() as cleanup:
        form = _Form(storage, limits, cleanup, fields)
        parser = _parser(content_type, form)
        received = 0
        try:
            async for piece in _gathered(body, silence_s):
                received += len(piece)
                if received > limits.body_bytes_max:
                    raise TooLarge(f"The body has more than the {limits.body_bytes_max} bytes that are accepted.")
                await asyncio.to_thread(parser.write, piece)
            parser.finalize()
        except FormParserError as error:
            raise MalformedRequest(f"The body is not a valid multipart form: {error}.") from error
        if not form.is_complete:
            raise MalformedRequest("The body ends in the middle of a part; was the connection cut?")
        yield form.result()


def _parser(content_type: str, form: _Form) -> MultipartParser:
    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary")
    if kind != b"multipart/form-data" or not boundary:
        raise MalformedRequest("Send the files as multipart/form-data with a boundary, as HTML forms and curl -F do.")
    try:
        return MultipartParser(boundary, form.callbacks())
    except FormParserError as error:
        raise MalformedRequest(f"The multipart boundary cannot be used: {error}.") from error


async def _gathered(body: AsyncIterator[bytes], silence_s: float) -> AsyncIterator[bytes]:
    """The body in pieces of half a MiB instead of a network read each, however small those are."""
    gathered = io.BytesIO()
    while True:
        try:
            async with asyncio.timeout(silence_s):
                piece = await anext(body, None)
        except TimeoutError as error:
            raise MalformedRequest(f"Nothing of the body came for {silence_s:g} s; was the connection cut?") from error
        if piece is None:
            break
        gathered.write(piece)
        if gathered.tell() >= _PARSE_BYTES:
            yield gathered.getvalue()
            gathered = io.BytesIO()
    if gathered.tell():
        yield gathered.getvalue()


@dataclass
class _Part:
    """The part being read: a text or a file, known once its headers are complete."""

    disposition: bytearray = field(default_factory=bytearray)
    name: str = ""
    text: bytearray = field(default_factory=bytearray)
    file_name: str | None = None
    head: bytearray = field(default_factory=bytearray)
    incoming: IncomingObject | None = None


class _Form:
    """The parser's callbacks: they run in a thread, one at a time, in the order of the body."""

    def __init__(self, storage: Storage, limits: UploadLimits, cleanup: ExitStack, fields: Collection[str]) -> None:
        self._storage, self._limits, self._cleanup, self._fields = storage, limits, cleanup, fields
        self._texts: dict[str, str] = {}
        self._files: list[ReceivedFile] = []
        self._audio_bytes = 0
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
        return ReceivedForm(self._texts, tuple(self._files), self._storage)

    def _begin(self) -> None:
        self._parts += 1
        if self._parts > self._limits.audio_files_max + _OTHER_PARTS_MAX:
            raise self._too_many()
        self._part = _Part()

    def _too_many(self) -> TooLarge:
        return TooLarge(f"The form has more than {self._limits.audio_files_max} files; send a zip or several requests.")

    def _end_header(self) -> None:
        if bytes(self._header).lower() == b"content-disposition":
            self._part.disposition = self._value
        self._header, self._value = bytearray(), bytearray()

    def _open(self) -> None:
        kind, options = parse_options_header(self._part.disposition.decode("latin-1"))
        name = options.get(b"name", b"").decode("utf-8", "replace")
        if kind != b"form-data" or not name:
            raise MalformedRequest("A part of the form has no name.")
        if name not in self._fields:
            known = ", ".join(sorted(self._fields))
            raise RequestRejected(f"The form has an unknown field '{shorten(name)}'; known are {known}.")
        self._part.name = name
        if name in FILE_FIELDS and b"filename" in options:
            self._open_file(options[b"filename"].decode("utf-8", "replace"))

    def _open_file(self, file_name: str) -> None:
        part = self._part
        if len(file_name) > _FILE_NAME_CHARACTERS_MAX:
            raise RequestRejected(f"A file name has more than {_FILE_NAME_CHARACTERS_MAX} characters.")
        part.file_name = "".join(character if character.isprintable() else "�" for character in file_name)
        part.incoming = self._cleanup.enter_context(self._storage.receive())

    def _data(self, data: bytes, start: int, end: int) -> None:
        part, piece = self._part, memoryview(data)[start:end]
        if part.incoming is not None:
            if len(part.head) < HEAD_BYTES:
                part.head += piece[: HEAD_BYTES - len(part.head)]
            part.incoming.write(piece)
            self._refuse_oversize(part, part.incoming.size_bytes, len(piece))
        elif part.name in FILE_FIELDS:
            raise RequestRejected(f"'{part.name}' must be a file: give it a file name (curl: -F {part.name}=@FILE).")
        else:
            part.text += piece
            if len(part.text) > _TEXT_BYTES_MAX:
                raise TooLarge(f"'{part.name}' has more than the {_TEXT_BYTES_MAX} bytes that are accepted.")

    def _refuse_oversize(self, part: _Part, size: int, more: int) -> None:
        limits = self._limits
        if part.name == "csv_file":
            most = limits.csv_bytes_max
        else:
            self._audio_bytes += more
            most = limits.audio_file_bytes_max
            if size > most and part.name == "files" and sniff(bytes(part.head)) is Content.ZIP:
                most = limits.audio_request_bytes_max
        if size > most:
            raise TooLarge(f"'{part.file_name or part.name}' has more than the {most} bytes that are accepted.")
        if self._audio_bytes > limits.audio_request_bytes_max:
            raise TooLarge(f"The files have more than the {limits.audio_request_bytes_max} bytes that are accepted.")

    def _end(self) -> None:
        part = self._part
        if part.incoming is not None and part.file_name is not None:
            self._end_file(part.incoming, part.file_name)
        elif part.name in TEXT_FIELDS:
            text = part.text.decode("utf-8", "replace").strip()
            if not text.isprintable():  # a NUL, above all, which no text of the database may hold
                raise RequestRejected(f"'{part.name}' holds characters that cannot be printed.")
            self._texts[part.name] = text

    def _end_file(self, incoming: IncomingObject, file_name: str) -> None:
        part = self._part
        if not file_name:
            incoming.discard()
            if incoming.size_bytes:
                raise RequestRejected(f"A file of '{part.name}' has no name.")
            return  # an empty file input of an HTML form is no file
        incoming.finish()
        self._files.append(ReceivedFile(part.name, file_name, bytes(part.head), incoming))
        if part.name == "files" and sum(file.field == "files" for file in self._files) > self._limits.audio_files_max:
            raise self._too_many()

    def _complete(self) -> None:
        self.is_complete = True
