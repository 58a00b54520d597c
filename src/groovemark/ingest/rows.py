"""Rows of a CSV under a FeatureSpec: what the scanner found becomes blocks of good rows, and faults."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import Fault, InputRejected
from groovemark.ingest import scan
from groovemark.ingest.cells import (
    TRACK_ID_TEXT_CHARACTERS_MAX,
    BadCell,
    Missing,
    are_canonical_track_ids,
    read_number,
    read_text,
    read_track_id,
)
from groovemark.ingest.encoding import Progress
from groovemark.ingest.header import ID_COLUMNS, Header
from groovemark.ingest.tokens import Plan, Scanned, TextColumn
from groovemark.ml.features.spec import TITLE, FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

_INSPECTED_ROWS_MAX = 500
"""Rows whose faults are held at once: a row of 157 bad cells makes 157 faults."""


@dataclass(frozen=True, slots=True)
class _GoodRow:
    """What a suspect row holds once every cell was looked at."""

    external_id: str
    numbers: list[float]


@dataclass(frozen=True)
class CsvLimits:
    """What a CSV may cost.

    Attributes:
        size_bytes: of the file, after decompression.
        rows: of the table.
        columns: of the header, wanted or not.
        header_bytes: of the header line.
        row_bytes: of one row; a quoted field that is never closed ends here.
        title_characters: of a title.
        cell_characters: of any other cell that is read.
        block_rows: handed out at once.
    """

    size_bytes: int = 4 << 30
    rows: int = 2_000_000
    columns: int = 4_096
    header_bytes: int = 256 << 10
    row_bytes: int = 4 << 20
    title_characters: int = 1_024
    cell_characters: int = 65_536
    block_rows: int = 10_000


@dataclass(frozen=True)
class Block:
    """Consecutive rows of a CSV. Only the good ones are in the sequences, in the order of the file.

    Attributes:
        lines: (n,) physical line on which each good row starts; the header is on line 1.
        external_ids: n ids, canonical where they come from trackID; they may repeat.
        titles: n titles.
        features: n rows.
        rows_read: rows seen, whatever became of them.
        rows_missing: how many of these were dropped because a required field is empty.
        faults: what is wrong with the rows that are neither good nor missing, in the order of the file.
        fraction_read: of the file as it is stored, from 0 to 1, when the block was made.
    """

    lines: NDArray[np.int64]
    external_ids: list[str]
    titles: list[str]
    features: FeatureTable
    rows_read: int
    rows_missing: int
    faults: list[Fault]
    fraction_read: float


class RowReader:
    """Reads the rows below one header. Keeps nothing of them.

    Args:
        progress: of whoever reads the file; every block repeats it.
    """

    def __init__(self, spec: FeatureSpec, header: Header, *, limits: CsvLimits, progress: Progress) -> None:
        self.spec, self.header, self.limits = spec, header, limits
        self._progress = progress
        positions = header.positions()
        self._id_column = next(name for name in ID_COLUMNS if name in positions)
        self._has_title = TITLE in positions
        titles = [TextColumn(TITLE, spec.title_required, limits.title_characters)]
        texts = [
            TextColumn(self._id_column, True, TRACK_ID_TEXT_CHARACTERS_MAX),
            *(titles if self._has_title else []),
            *(TextColumn(name, True, limits.cell_characters) for name in spec.text_names),
        ]
        numbers = [column for column in spec.columns if column.kind != "text"]
        width, delimiter = len(header.names), header.delimiter
        self._plan = Plan(
            positions,
            width=width,
            delimiter=delimiter,
            texts=texts,
            numbers=numbers,
            number_size_limit_bytes=limits.cell_characters,
        )
        # Suspect rows are scanned again with every wanted cell as text, for `cells` to judge.
        every_cell = [*texts, *(TextColumn(column.name) for column in numbers)]
        self._text_plan = Plan(positions, width=width, delimiter=delimiter, texts=every_cell)

    def read(self, pieces: Iterable[bytes]) -> Iterator[Block]:
        """Blocks from the pieces of UTF-8 that make up the whole file, header included."""
        rest, skip, line = b"", self.header.size_bytes, self.header.next_line
        for piece in pieces:
            data = b"".join((rest, piece[skip:], scan.PADDING))
            skip = max(0, skip - len(piece))
            position, line = yield from self._read_rows(data, line, is_final=False)
            rest = data[position : -len(scan.PADDING)]
            self._check_size(len(rest), line)
        yield from self._read_rows(rest + scan.PADDING, line, is_final=True)

    def _read_rows(self, data: bytes, line: int, *, is_final: bool) -> Generator[Block, None, tuple[int, int]]:
        position, rows_max = 0, self.limits.block_rows
        while True:
            found = self._plan.scan(data, position, line, is_final=is_final, rows_max=rows_max)
            position, line = found.position, found.next_line
            self._check_rows(found)
            for rows in _slices(found.states):
                yield self._block(found, rows)
            if len(found) < rows_max:
                return position, line

    def _check_rows(self, found: Scanned) -> None:
        if len(found):
            longest = int(np.argmax(found.ends - found.starts))
            self._check_size(int(found.ends[longest] - found.starts[longest]), int(found.lines[longest]))
            if found.states[-1] & scan.UNCLOSED:
                line = int(found.lines[-1])
                fault = Fault("unclosed_quote", "a quoted field of this row is never closed", line=line)
                raise InputRejected(f"The row on line {line:,} opens a quote that is never closed.", faults=[fault])

    def _check_size(self, size_bytes: int, line: int) -> None:
        if size_bytes > self.limits.row_bytes:
            message = f"longer than {self.limits.row_bytes:,} bytes; is a quote never closed?"
            fault = Fault("row_too_long", message, line=line)
            raise InputRejected(f"The row that starts on line {line:,} is {message}", faults=[fault])

    def _block(self, found: Scanned, rows: slice) -> Block:
        """The rows of one slice: `numbers` is a view where all of them are good."""
        states = found.states[rows]
        offset = rows.start
        is_ragged = states & scan.RAGGED != 0
        is_missing = ~is_ragged & (states & scan.MISSING != 0)
        faults = [self._ragged(found, offset + row) for row in np.flatnonzero(is_ragged).tolist()]

        kept = np.flatnonzero(~is_ragged & ~is_missing)
        texts = [found.texts(slot, kept + offset) for slot in range(len(self._plan.texts))]
        is_suspect = states[kept] & scan.SUSPECT != 0
        if self._id_column == "trackID":
            is_suspect |= ~are_canonical_track_ids(texts[0])
        suspects = np.flatnonzero(is_suspect)
        is_good = np.ones(len(kept), np.bool_)
        numbers = found.numbers[rows]
        verdicts = self._judge(found, kept[suspects] + offset)
        for index, verdict in zip(suspects.tolist(), verdicts, strict=True):
            if isinstance(verdict, _GoodRow):
                texts[0][index] = verdict.external_id
                numbers[kept[index]] = verdict.numbers
            else:
                is_good[index] = False
                is_missing[kept[index]] = not verdict
                faults += verdict
        good = np.flatnonzero(is_good)
        if len(good) < len(kept):
            kept = kept[good]
            texts = [[cells[index] for index in good.tolist()] for cells in texts]
        titles = self._titles(texts)
        own = dict(zip(self.spec.text_names, texts[len(texts) - len(self.spec.text_names) :], strict=True))
        return Block(
            lines=found.lines[kept + offset],
            external_ids=texts[0],
            titles=titles,
            features=FeatureTable(
                self.spec,
                numbers if len(kept) == len(numbers) else numbers[kept],
                {**own, TITLE: titles} if self.spec.title_required else own,
            ),
            rows_read=len(states),
            rows_missing=int(np.count_nonzero(is_missing)),
            faults=sorted(faults, key=lambda fault: fault.line or 0),
            fraction_read=self._progress.fraction_read,
        )

    def _titles(self, texts: Sequence[list[str]]) -> list[str]:
        """A title that is missing, where it may be, is the id."""
        if not self._has_title:
            return list(texts[0])
        if self.spec.title_required:
            return texts[1]
        return [title or external_id for external_id, title in zip(texts[0], texts[1], strict=True)]

    def _ragged(self, found: Scanned, row: int) -> Fault:
        message = f"not as many fields as the header, which has {len(self.header.names)}"
        return Fault("wrong_field_count", message, line=int(found.lines[row]))

    def _judge(self, found: Scanned, rows: NDArray[np.intp]) -> Iterator[_GoodRow | list[Fault]]:
        """For each of the rows: its values, its faults, or no fault at all where a value is missing."""
        if not len(rows):
            return
        data = b"".join([*(found.row_bytes(row) for row in rows.tolist()), scan.PADDING])
        again = self._text_plan.scan(data, 0, 1, is_final=True, rows_max=len(rows))
        every = np.arange(len(rows))
        columns = [again.texts(slot, every) for slot in range(len(self._text_plan.texts))]
        for line, cells in zip(found.lines[rows].tolist(), zip(*columns, strict=True), strict=True):
            yield self._judge_row(line, cells)

    def _judge_row(self, line: int, cells: Sequence[str]) -> _GoodRow | list[Fault]:
        characters_max = self.limits.cell_characters
        names = [column.name for column in self._text_plan.texts]
        external_id, numbers, faults = "", [], []
        for slot, (name, cell) in enumerate(zip(names, cells, strict=True)):
            try:
                if slot == 0:
                    external_id = self._read_id(cell)
                elif name == TITLE:
                    if cell or self.spec.title_required:
                        read_text(cell, characters_max=self.limits.title_characters)
                elif slot < len(self._plan.texts):
                    read_text(cell, characters_max=characters_max)
                else:
                    column = self._plan.numbers[slot - len(self._plan.texts)]
                    numbers.append(read_number(cell, column, characters_max=characters_max))
            except Missing:
                return []
            except BadCell as bad:
                faults.append(bad.at(line, name, item=external_id or None))
        return faults or _GoodRow(external_id, numbers)

    def _read_id(self, cell: str) -> str:
        if self._id_column == "trackID":
            return read_track_id(cell, characters_max=self.limits.cell_characters)
        return read_text(cell, characters_max=TRACK_ID_TEXT_CHARACTERS_MAX)


def _slices(states: NDArray[np.int64]) -> Iterator[slice]:
    """Consecutive slices of the rows, none with too many that need inspection."""
    inspected = np.flatnonzero(states & (scan.SUSPECT | scan.RAGGED))
    start = 0
    for end in inspected[_INSPECTED_ROWS_MAX::_INSPECTED_ROWS_MAX].tolist():
        yield slice(start, end)
        start = end
    if start < len(states):
        yield slice(start, len(states))
