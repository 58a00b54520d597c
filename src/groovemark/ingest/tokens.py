"""The Python side of the compiled scanner: what to look for in each column, and the text of what it found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ingest import scan
from groovemark.ingest.cells import column_range
from groovemark.ingest.compiled import powers_of_ten
from groovemark.ml.features.spec import Column

_QUOTED_FIELD = re.compile(r'"((?:[^"]|"")*+)"(.*)', re.DOTALL)


@dataclass(frozen=True, slots=True)
class TextColumn:
    """A column read as text: is an empty cell a missing value, and which length makes a cell suspect."""

    name: str
    required: bool = False
    size_limit_bytes: int = 1 << 40


@dataclass(frozen=True)
class Scanned:
    """Rows found in `data`, cell by cell.

    Attributes:
        data: the bytes scanned, and padding.
        numbers: (n, numeric columns) float64; meaningless where a row is missing, suspect or ragged.
        cells: (n, text columns, 3) start, end and state of each cell.
        starts, ends, lines, states: (n,) of the rows; `scan` names the states.
        position: of the first byte not used up.
        next_line: its physical line.
    """

    data: bytes
    numbers: NDArray[np.float64]
    cells: NDArray[np.int64]
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    lines: NDArray[np.int64]
    states: NDArray[np.int64]
    position: int
    next_line: int

    def __len__(self) -> int:
        return len(self.starts)

    def texts(self, slot: int, rows: NDArray[np.intp]) -> list[str]:
        """The cells of one text column in the given rows, unquoted."""
        cells = self.cells[rows, slot]
        starts, ends, escaped = cells[:, 0].tolist(), cells[:, 1].tolist(), cells[:, 2] == scan.ESCAPED
        data = self.data
        found = [data[start:end].decode() for start, end in zip(starts, ends, strict=True)]
        for index in np.flatnonzero(escaped).tolist():
            found[index] = unquote(found[index])
        return found

    def row_bytes(self, row: int) -> bytes:
        """The bytes of one row, with a line end."""
        found = self.data[self.starts[row] : self.ends[row]]
        return found if found.endswith((b"\n", b"\r")) else found + b"\n"


def unquote(cell: str) -> str:
    """The text of a field that begins with a quote: `""` is a quote; what follows the closing one is kept."""
    match = _QUOTED_FIELD.fullmatch(cell)
    return match[1].replace('""', '"') + match[2] if match else cell


class Plan:
    """Which columns of a file to read as what."""

    def __init__(
        self,
        positions: Mapping[str, int],
        *,
        width: int,
        delimiter: str,
        texts: Sequence[TextColumn],
        numbers: Sequence[Column] = (),
        number_size_limit_bytes: int = 1 << 40,
    ) -> None:
        self.texts = tuple(texts)
        self.numbers = tuple(numbers)
        self._delimiter = ord(delimiter)
        self._targets = np.full(width, -1, np.int32)
        for slot, text in enumerate(texts):
            self._targets[positions[text.name]] = -2 - slot
        for slot, number in enumerate(numbers):
            self._targets[positions[number.name]] = slot
        self._ranges = np.array([column_range(column) for column in numbers], np.float64).reshape(-1, 2)
        self._whole = np.array([column.kind == "integer" for column in numbers], np.bool_)
        self._required = np.array([text.required for text in texts], np.bool_)
        limits = [*(text.size_limit_bytes for text in texts), number_size_limit_bytes]
        self._size_limits = np.array(limits, np.int64)

    def scan(self, data: bytes, position: int, line: int, *, is_final: bool, rows_max: int) -> Scanned:
        """Find up to `rows_max` whole rows from `position` on, which is the start of physical line `line`.

        `data` ends with `scan.PADDING`, which is not scanned.
        """
        numbers = np.empty((rows_max, len(self.numbers)))
        flat = numbers.reshape(-1)
        cells = np.zeros((rows_max, len(self.texts), 3), np.int64)
        rows = np.empty((rows_max, 4), np.int64)
        found, position, line = scan.scan_rows(
            np.frombuffer(data, np.uint8),
            position,
            line,
            is_final,
            self._delimiter,
            self._targets,
            self._ranges,
            self._whole,
            self._required,
            self._size_limits,
            powers_of_ten(),
            flat,
            flat.view(np.uint64),
            cells,
            rows,
        )
        starts, ends, lines, states = rows[:found].T
        return Scanned(data, numbers[:found], cells[:found], starts, ends, lines, states, position, line)
