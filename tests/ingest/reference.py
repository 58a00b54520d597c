"""A slow reading of the same CSV, row by row and cell by cell, plain enough to be believed."""

from __future__ import annotations

import csv
import io
import math
from dataclasses import dataclass, field

from groovemark.ml.features.spec import Column, FeatureSpec


@dataclass
class Reading:
    """Good rows as (line, id, title, numbers, texts); faults as (line, column, code)."""

    rows: list[tuple[int, str, str, list[float], list[str]]] = field(default_factory=list)
    missing: int = 0
    faults: list[tuple[int, str | None, str]] = field(default_factory=list)


class _Missing(Exception):
    pass


def split(text: str, delimiter: str = ",") -> list[tuple[int, list[str]]] | None:
    """Rows with the physical line each starts on, blank lines left out; None where a quote is never closed."""
    reader = csv.reader(io.StringIO(text + "\nend", newline=""), delimiter=delimiter)
    rows, line = [], 1
    for fields in reader:
        if fields:
            rows.append((line, fields))
        line = reader.line_num + 1
    return rows[:-1] if rows and rows[-1][1] == ["end"] else None


def read(text: str, spec: FeatureSpec, *, title_max: int = 1024, cell_max: int = 65_536) -> Reading | None:
    rows = split(text)
    if rows is None:
        return None
    header = rows[0][1]
    reading = Reading()
    for line, fields in rows[1:]:
        if len(fields) != len(header):
            reading.faults.append((line, None, "wrong_field_count"))
            continue
        cells = dict(zip(reversed(header), reversed(fields), strict=True))
        _read_row(reading, line, cells, spec, title_max, cell_max)
    return reading


def _read_row(
    reading: Reading, line: int, cells: dict[str, str], spec: FeatureSpec, title_max: int, cell_max: int
) -> None:
    faults: list[tuple[int, str | None, str]] = []
    numbers, texts, external_id = [], [], ""

    def judge(name: str, outcome: object) -> None:
        if isinstance(outcome, str):
            faults.append((line, name, outcome))

    try:
        id_column = "trackID" if "trackID" in cells else "track_id"
        if id_column == "trackID":
            outcome, external_id = _track_id(cells["trackID"], cell_max)
        else:
            outcome, external_id = _text(cells["track_id"], 255), cells["track_id"]
        judge(id_column, outcome)
        title = cells.get("title", "")
        if title or spec.title_required:
            judge("title", _text(title, title_max))
        for column in spec.columns:
            cell = cells[column.name]
            if column.kind == "text":
                judge(column.name, _text(cell, cell_max))
                texts.append(cell)
            else:
                value = _number(cell, column, cell_max)
                judge(column.name, value)
                numbers.append(value)
    except _Missing:
        reading.missing += 1
        return
    reading.faults += faults
    if not faults:
        reading.rows.append((line, external_id, title or external_id, numbers, texts))  # type: ignore[arg-type]


def _text(cell: str, longest: int) -> str | None:
    if cell == "":
        raise _Missing
    if len(cell) > longest:
        return "too_long"
    return "nul" if "\0" in cell else None


def _finite(cell: str, longest: int) -> str | float:
    plain = cell.strip(" \t")
    if cell == "" or (plain.lower().lstrip("+-") == "nan" and len(plain) <= 4):
        raise _Missing
    if len(cell) > longest:
        return "too_long"
    if plain == "" or not plain.isascii() or "_" in plain or any(character.isspace() for character in plain):
        return "nul" if "\0" in cell else "not_a_number"
    try:
        value = float(plain)
    except ValueError:
        return "nul" if "\0" in cell else "not_a_number"
    return value if math.isfinite(value) else "infinite"


def _number(cell: str, column: Column, longest: int) -> str | float:
    value = _finite(cell, longest)
    if isinstance(value, str):
        return value
    if column.kind == "integer" and value != int(value):
        return "fractional"
    too_low = column.minimum is not None and value < column.minimum
    too_high = column.maximum is not None and value > column.maximum
    return "out_of_range" if too_low or too_high else value


def _track_id(cell: str, longest: int) -> tuple[str | None, str]:
    value = _finite(cell, longest)
    if isinstance(value, str):
        return value, ""
    plain = cell.strip(" \t").lower()
    if "e" in plain:
        return ("not_an_integer" if value == int(value) else "fractional"), ""
    digits, _, decimals = plain.partition(".")
    if decimals.strip("0"):
        return "fractional", ""
    if digits.strip("+-") == "":
        return "not_an_integer", ""
    exact = int(digits)
    if abs(exact) > 2**63 - 1:
        return "oversized", ""
    return ("out_of_range", "") if exact < 0 else (None, str(exact))
