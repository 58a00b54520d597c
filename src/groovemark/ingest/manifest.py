"""The manifest of an audio batch: a CSV that gives files their ids and titles, and names URLs of more of them."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groovemark.errors import FAULTS_MAX, Fault, FetchFailed, InputRejected, TooLarge, shorten
from groovemark.ingest import scan
from groovemark.ingest.cells import TRACK_ID_TEXT_CHARACTERS_MAX, BadCell, Missing, read_text
from groovemark.ingest.csv import beginning
from groovemark.ingest.encoding import read_utf8
from groovemark.ingest.header import DELIMITERS, Header, read_header, reject_foreign_layout, spelling_hint
from groovemark.ingest.rows import CsvLimits
from groovemark.ingest.tokens import Plan, TextColumn
from groovemark.ingest.urls import URL_CHARACTERS_MAX, check_url, scheme_of, without_query
from groovemark.ml.features.spec import TITLE

FILE, EXTERNAL_ID = "file", "external_id"

_Row = tuple[int, int, dict[str, str]]
"""Physical line, state and cells."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What a manifest says about one file; None where it says nothing.

    Attributes:
        file: the name of a file that was sent, or a URL.
        external_id: instead of the file's name; a URL always has one.
        title: instead of the one in the file.
        line: physical line, for what is found out later, such as a file that was not sent.
    """

    file: str
    external_id: str | None
    title: str | None
    line: int

    @property
    def is_url(self) -> bool:
        return bool(scheme_of(self.file))


def read_manifest(path: Path, *, limits: CsvLimits) -> Iterator[ManifestEntry]:
    """The entries of a CSV with the column `file` and perhaps `external_id` and `title`, a block of rows in memory.

    Encodings and separators are those of `open_csv`. An empty cell says nothing. A URL's id is the URL itself without
    its query, which may hold a signature, unless the manifest gives another.

    Raises:
        FileTypeRejected: not text in a supported encoding.
        TooLarge: more bytes or rows than allowed.
        InputRejected: an unknown column, a file or id given twice, a text too long, a row that does not fit the
            header, a quote never closed, a URL that cannot be fetched by its looks; faults are named with their lines.
            After the entries before the first of them.
    """
    header = _choose_header(path, limits)
    header.reject_duplicates(header.names)
    seen = _Seen()
    faults: list[Fault] = []
    for count, (line, state, cells) in enumerate(_read_rows(path, header, limits), start=1):
        if count > limits.rows:
            raise TooLarge(f"The manifest has more than {limits.rows:,} rows; send several batches.")
        found = _shape_faults(line, state, header) or _row_faults(line, cells, limits)
        if not found:
            file, external_id = cells[FILE], cells.get(EXTERNAL_ID) or None
            found = seen.repeated(line, file, external_id)
            if not found and not faults:
                if scheme_of(file):
                    external_id = external_id or without_query(file)
                yield ManifestEntry(file, external_id, cells.get(TITLE) or None, line)
        faults += found
        if len(faults) >= FAULTS_MAX:
            break
    if faults:
        first = faults[0]
        place = f"line {first.line}" + (f", {first.column}" if first.column else "")
        many = f"{len(faults)} faults or more" if len(faults) >= FAULTS_MAX else f"{len(faults)} faults"
        raise InputRejected(f"The manifest has {many}; {place}: {first.message}.", faults=faults[:FAULTS_MAX])


class _Seen:
    """Files and ids by their hashes: eight bytes of a million texts, not the texts."""

    def __init__(self) -> None:
        self._files: set[int] = set()
        self._ids: set[int] = set()

    def repeated(self, line: int, file: str, external_id: str | None) -> list[Fault]:
        found = [_repeated(line, FILE, without_query(file))] if hash(file) in self._files else []
        self._files.add(hash(file))
        if external_id is not None:
            if hash(external_id) in self._ids:
                found.append(_repeated(line, EXTERNAL_ID, external_id))
            self._ids.add(hash(external_id))
        return found


def _choose_header(path: Path, limits: CsvLimits) -> Header:
    text, is_whole = beginning(path, limits)
    headers = [read_header(text, delimiter, columns_max=limits.columns) for delimiter in DELIMITERS]
    if not is_whole and headers[0].size_bytes == len(text.encode()):
        raise InputRejected(f"The header line is longer than {limits.header_bytes:,} bytes.")
    header = next((header for header in headers if FILE in header.names), None)
    if header is None:
        reject_foreign_layout(headers)
        nearly = [found for header in headers if (found := header.nearly(FILE))]
        fault = Fault("missing_column", "required in a manifest", line=headers[0].line, column=FILE)
        raise InputRejected(f"The manifest lacks the column '{FILE}'.{spelling_hint(nearly[:1])}", faults=[fault])
    unknown = [name for name in header.names if name not in (FILE, EXTERNAL_ID, TITLE)]
    if unknown:
        shown = ", ".join(shorten(name) for name in unknown)
        faults = [
            Fault("unknown_column", "a manifest has no such column", line=header.line, column=shorten(name))
            for name in unknown
        ]
        raise InputRejected(
            f"The manifest has unknown columns: {shown}. It may have {FILE}, {EXTERNAL_ID} and {TITLE}.",
            faults=faults,
        )
    return header


def _read_rows(path: Path, header: Header, limits: CsvLimits) -> Iterator[_Row]:
    names = list(header.positions())
    texts = [TextColumn(name) for name in names]
    plan = Plan(header.positions(), width=len(header.names), delimiter=header.delimiter, texts=texts)
    rest, skip, line = b"", header.size_bytes, header.next_line
    pieces = read_utf8(path, size_limit_bytes=limits.size_bytes)
    piece: bytes | None
    while True:
        piece = next(pieces, None)
        data = b"".join((rest, (piece or b"")[skip:], scan.PADDING))
        skip = max(0, skip - len(piece or b""))
        position = 0
        while True:
            found = plan.scan(data, position, line, is_final=piece is None, rows_max=limits.block_rows)
            position, line = found.position, found.next_line
            rows = np.arange(len(found))
            columns = [found.texts(slot, rows) for slot in range(len(names))]
            for row_line, state, *cells in zip(found.lines.tolist(), found.states.tolist(), *columns, strict=True):
                yield row_line, state, dict(zip(names, cells, strict=True))
            if len(found) < limits.block_rows:
                break
        rest = data[position : -len(scan.PADDING)]
        if piece is None:
            return
        if len(rest) > limits.row_bytes:
            raise InputRejected(f"The row that starts on line {line:,} is too long; is a quote never closed?")


def _shape_faults(line: int, state: int, header: Header) -> list[Fault]:
    if state & scan.UNCLOSED:
        return [Fault("unclosed_quote", "a quoted field of this row is never closed", line=line)]
    if state & scan.RAGGED:
        message = f"not as many fields as the header, which has {len(header.names)}"
        return [Fault("wrong_field_count", message, line=line)]
    return []


def _row_faults(line: int, cells: dict[str, str], limits: CsvLimits) -> list[Fault]:
    longest = {FILE: limits.title_characters, EXTERNAL_ID: TRACK_ID_TEXT_CHARACTERS_MAX, TITLE: limits.title_characters}
    is_url = bool(scheme_of(cells[FILE]))
    if is_url:
        longest[FILE] = URL_CHARACTERS_MAX
    faults = []
    for name, cell in cells.items():
        try:
            read_text(cell, characters_max=longest[name])
        except Missing:
            if name == FILE:
                faults.append(Fault("empty", "every row of a manifest must name a file", line=line, column=FILE))
        except BadCell as bad:
            if name == FILE and is_url:  # what stands in front of an @ may be a password
                faults.append(Fault(bad.code, "a URL that is too long or holds a NUL", line=line, column=FILE))
            else:
                faults.append(bad.at(line, name))
    return faults or (_url_faults(line, cells) if is_url else [])


def _url_faults(line: int, cells: dict[str, str]) -> list[Fault]:
    file = cells[FILE]
    try:
        check_url(file)
    except FetchFailed as error:
        return [Fault(error.reason, error.message.removesuffix("."), line=line, column=FILE)]
    if not cells.get(EXTERNAL_ID) and len(without_query(file)) > TRACK_ID_TEXT_CHARACTERS_MAX:
        message = f"a URL of more than {TRACK_ID_TEXT_CHARACTERS_MAX} characters is no id; give it an external_id"
        return [Fault("too_long", message, line=line, column=FILE)]
    return []


def _repeated(line: int, column: str, cell: str) -> Fault:
    return Fault("duplicate", f"'{shorten(cell)}' occurs on an earlier line too", line=line, column=column)
