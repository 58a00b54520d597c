"""The manifest of an audio batch: a CSV that gives files their ids and titles."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from groovemark.errors import Fault, InputRejected, shorten
from groovemark.ingest import scan
from groovemark.ingest.cells import TRACK_ID_TEXT_CHARACTERS_MAX, BadCell, Missing, read_text
from groovemark.ingest.encoding import read_utf8
from groovemark.ingest.header import DELIMITERS, TITLE, Header, read_header, reject_foreign_layout, spelling_hint
from groovemark.ingest.rows import CsvLimits
from groovemark.ingest.tokens import Plan, TextColumn

FILE, EXTERNAL_ID = "file", "external_id"
MANIFEST_LIMITS = CsvLimits(size_bytes=16 << 20, rows=100_000, columns=16)

_Row = tuple[int, int, dict[str, str]]
"""Physical line, state and cells."""


@dataclass(frozen=True, slots=True)
class ManifestEntry:
    """What a manifest says about one file; None where it says nothing.

    Attributes:
        external_id: instead of the file's name.
        title: instead of the one in the file.
        line: physical line, for what is found out later, such as a file that was not sent.
    """

    external_id: str | None
    title: str | None
    line: int


def read_manifest(path: Path, *, limits: CsvLimits = MANIFEST_LIMITS) -> dict[str, ManifestEntry]:
    """The entry of every file named in a CSV with the column `file` and perhaps `external_id` and `title`.

    Encodings and separators are those of `open_csv`. An empty cell says nothing.

    Raises:
        FileTypeRejected: not text in a supported encoding.
        TooLarge: more bytes than allowed.
        InputRejected: an unknown column, a file or id given twice, a text too long, a row that does not fit the
            header, a quote never closed; every fault is named with its line.
    """
    data = b"".join(read_utf8(path, size_limit_bytes=limits.size_bytes))
    header = _choose_header(data.decode(), limits)
    header.reject_duplicates(header.names)
    entries: dict[str, ManifestEntry] = {}
    ids: set[str] = set()
    faults: list[Fault] = []
    for line, state, cells in _read_rows(data, header, limits):
        if state & scan.UNCLOSED:
            faults.append(Fault("unclosed_quote", "a quoted field of this row is never closed", line=line))
        elif state & scan.RAGGED:
            message = f"not as many fields as the header, which has {len(header.names)}"
            faults.append(Fault("wrong_field_count", message, line=line))
        else:
            found = _row_faults(line, cells, limits)
            file, external_id = cells[FILE], cells.get(EXTERNAL_ID)
            if file in entries:
                found.append(_repeated(line, FILE, file))
            if external_id and external_id in ids:
                found.append(_repeated(line, EXTERNAL_ID, external_id))
            faults += found
            if not found:
                entries[file] = ManifestEntry(external_id or None, cells.get(TITLE) or None, line)
                ids.add(external_id or "")
    if faults:
        first = faults[0]
        place = f"line {first.line}" + (f", {first.column}" if first.column else "")
        raise InputRejected(f"The manifest has {len(faults)} faults; {place}: {first.message}.", faults=faults)
    return entries


def _choose_header(text: str, limits: CsvLimits) -> Header:
    headers = [read_header(text, delimiter, columns_max=limits.columns) for delimiter in DELIMITERS]
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


def _read_rows(data: bytes, header: Header, limits: CsvLimits) -> Iterator[_Row]:
    names = list(header.positions())
    plan = Plan(
        header.positions(),
        width=len(header.names),
        delimiter=header.delimiter,
        texts=[TextColumn(name) for name in names],
    )
    body = data[header.size_bytes :] + scan.PADDING
    found = plan.scan(body, 0, header.next_line, is_final=True, rows_max=limits.rows + 1)
    if len(found) > limits.rows:
        raise InputRejected(f"The manifest has more than {limits.rows:,} rows.")
    rows = np.arange(len(found))
    columns = [found.texts(slot, rows) for slot in range(len(names))]
    for line, state, *cells in zip(found.lines.tolist(), found.states.tolist(), *columns, strict=True):
        yield line, state, dict(zip(names, cells, strict=True))


def _row_faults(line: int, cells: dict[str, str], limits: CsvLimits) -> list[Fault]:
    longest = {FILE: limits.title_characters, EXTERNAL_ID: TRACK_ID_TEXT_CHARACTERS_MAX, TITLE: limits.title_characters}
    faults = []
    for name, cell in cells.items():
        try:
            read_text(cell, characters_max=longest[name])
        except Missing:
            if name == FILE:
                faults.append(Fault("empty", "every row of a manifest must name a file", line=line, column=FILE))
        except BadCell as bad:
            faults.append(bad.at(line, name))
    return faults


def _repeated(line: int, column: str, cell: str) -> Fault:
    return Fault("duplicate", f"'{shorten(cell)}' occurs on an earlier line too", line=line, column=column)
