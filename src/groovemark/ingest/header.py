"""The header line of a CSV: which feature set it serves, and where each column is."""

from __future__ import annotations

import csv
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from groovemark.errors import Fault, InputRejected, shorten
from groovemark.ml.features.spec import FeatureSpec

ID_COLUMNS = ("trackID", "track_id")
TITLE = "title"
DELIMITERS = (",", ";")


@dataclass(frozen=True)
class Header:
    """A header read with one delimiter.

    Attributes:
        names: column names in the order of the file.
        delimiter: between fields.
        size_bytes: of the header and the blank lines before it, as UTF-8, its line end included.
        line: physical line of the header.
        next_line: physical line after it.
    """

    names: tuple[str, ...]
    delimiter: str
    size_bytes: int
    line: int
    next_line: int

    def positions(self) -> Mapping[str, int]:
        return {name: position for position, name in enumerate(self.names)}

    def reject_duplicates(self, wanted: Sequence[str]) -> None:
        """Raises InputRejected when a wanted column occurs twice: nobody could say which one counts."""
        counts = Counter(self.names)
        twice = [name for name in dict.fromkeys(wanted) if counts[name] > 1]
        if twice:
            faults = [
                Fault("duplicate_column", "occurs more than once in the header", line=self.line, column=name)
                for name in twice
            ]
            raise InputRejected(f"The header has a column twice: {', '.join(twice)}.", faults=faults)


def read_header(text: str, delimiter: str, *, columns_max: int) -> Header:
    """The first non-blank line of `text`, which starts with the beginning of a file.

    Raises InputRejected when there is none, or one that no CSV of features has.
    """
    source = io.StringIO(text, newline="")
    reader = csv.reader(source, delimiter=delimiter, strict=True)
    line = 1
    names: list[str] = []
    try:
        while not names:
            line = reader.line_num + 1
            names = next(reader)
    except StopIteration:
        raise InputRejected("The CSV is empty; it must start with a header line.") from None
    except csv.Error as error:
        raise InputRejected(f"The header line cannot be read: {error}.") from error
    if len(names) > columns_max:
        raise InputRejected(f"The header has {len(names):,} columns; at most {columns_max:,} are allowed.")
    size_bytes = len(text[: source.tell()].encode())
    return Header(tuple(names), delimiter, size_bytes, line, reader.line_num + 1)


def required_columns(spec: FeatureSpec) -> tuple[str, ...]:
    """The columns, besides an id, without which a CSV cannot serve the spec."""
    title = (TITLE,) if spec.title_required else ()
    return (*title, *(column.name for column in spec.columns))


def choose_spec(headers: Sequence[Header], specs: Sequence[FeatureSpec]) -> tuple[Header, FeatureSpec]:
    """The first header that holds every column of a spec, and that spec; of several, the one with most columns.

    Raises InputRejected naming what is missing for the spec that comes nearest.
    """
    for header in headers:
        fitting = [spec for spec in specs if not _missing(header, spec)]
        if fitting:
            spec = max(fitting, key=lambda spec: len(required_columns(spec)))
            header.reject_duplicates((*ID_COLUMNS, TITLE, *required_columns(spec)))
            return header, spec
    header, spec = min(
        ((header, spec) for header in headers for spec in specs),
        key=lambda pair: len(_missing(*pair)) / (1 + len(required_columns(pair[1]))),
    )
    missing = _missing(header, spec)
    faults = [
        Fault("missing_column", f"required by {spec.name}", line=header.line, column=shorten(name)) for name in missing
    ]
    verb = "column is" if len(missing) == 1 else "columns are"
    shown = ", ".join(missing[:10]) + (", …" if len(missing) > 10 else "")
    nearest = f" (the nearest feature set is {spec.name})" if len(specs) > 1 else ""
    raise InputRejected(f"{len(missing)} required {verb} missing{nearest}: {shown}", faults=faults)


def _missing(header: Header, spec: FeatureSpec) -> list[str]:
    names = set(header.names)
    missing = [name for name in required_columns(spec) if name not in names]
    return missing if names.intersection(ID_COLUMNS) else [" or ".join(ID_COLUMNS), *missing]
