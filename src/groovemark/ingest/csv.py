"""CSV tables of features: untrusted bytes in, checked rows out, a block at a time and in constant memory."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from groovemark.errors import InputRejected, TooLarge
from groovemark.ingest.encoding import Progress, read_utf8
from groovemark.ingest.header import DELIMITERS, Header, choose_spec, read_header
from groovemark.ingest.rows import Block, CsvLimits, RowReader
from groovemark.ml.features.spec import Column, FeatureSpec

__all__ = ["Block", "CsvLimits", "CsvTable", "open_csv", "warm_up"]


@dataclass(frozen=True)
class CsvTable:
    """A CSV whose header fits a FeatureSpec; the rows are read by `blocks`."""

    path: Path
    spec: FeatureSpec
    header: Header
    limits: CsvLimits

    def blocks(self) -> Iterator[Block]:
        """The rows in the order of the file; each call reads the file again.

        Raises:
            FileTypeRejected: undecodable bytes, a damaged gzip.
            InputRejected: a row longer than `limits.row_bytes`, a quoted field that is never closed.
            TooLarge: more rows or bytes than the limits allow.
        """
        progress = Progress()
        reader = RowReader(self.spec, self.header, limits=self.limits, progress=progress)
        rows_read = 0
        for block in reader.read(read_utf8(self.path, size_limit_bytes=self.limits.size_bytes, progress=progress)):
            rows_read += block.rows_read
            if rows_read > self.limits.rows:
                raise TooLarge(f"The CSV has more than {self.limits.rows:,} rows; split it.")
            yield block


def open_csv(path: Path, *, specs: Sequence[FeatureSpec] | FeatureSpec, limits: CsvLimits) -> CsvTable:
    """Read the header: it decides the delimiter and which of the specs the table serves.

    The id is in the column trackID or track_id; where both are there, trackID counts. Columns may stand in
    any order, and those that nobody asked for are ignored, whatever is in them.

    Raises:
        FileTypeRejected: not text in a supported encoding.
        InputRejected: no header, a column twice, or columns missing for every spec; the faults name them.
        TooLarge: more decompressed bytes than allowed, before the header ended.
    """
    candidates = [specs] if isinstance(specs, FeatureSpec) else list(specs)
    text, is_whole = beginning(path, limits)
    headers = [read_header(text, delimiter, columns_max=limits.columns) for delimiter in DELIMITERS]
    if not is_whole and headers[0].size_bytes == len(text.encode()):
        raise InputRejected(f"The header line is longer than {limits.header_bytes:,} bytes.")
    header, spec = choose_spec(headers, candidates)
    return CsvTable(path, spec, header, limits)


def beginning(path: Path, limits: CsvLimits) -> tuple[str, bool]:
    """Enough of the file to hold any header that is allowed, and whether that is the whole file."""
    found = b""
    for piece in read_utf8(path, size_limit_bytes=limits.size_bytes):
        found += piece
        if len(found) > limits.header_bytes:
            # The cut may go through a character, far beyond the header.
            return found[: limits.header_bytes].decode(errors="ignore"), False
    return found.decode(), True


def warm_up() -> None:
    """Compile or load the scanner, so that the first batch does not wait for it."""
    spec = FeatureSpec("warm-up", (Column("number"),))
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "warm-up.csv"
        path.write_text("trackID,number\n1,0.5\n")
        for _ in open_csv(path, specs=spec, limits=CsvLimits()).blocks():
            pass
