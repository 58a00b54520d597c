"""The header line of a CSV: which feature set it serves, and where each column is."""

from __future__ import annotations

import csv
import io
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property

from groovemark.errors import CELL_CHARACTERS_MAX, Fault, InputRejected, shorten
from groovemark.ml.features.spec import TITLE, FeatureSpec

ID_COLUMNS = ("trackID", "track_id")
DELIMITERS = (",", ";")
NAMES_SHOWN = 10

_ANY_ID = " or ".join(ID_COLUMNS)
_SEPARATOR_LINE = re.compile(r"sep=.?", re.IGNORECASE | re.DOTALL)


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

    @cached_property
    def _by_spelling(self) -> Mapping[str, str]:
        return {_spelling(name): name for name in reversed(self.names)}

    def nearly(self, *wanted: str) -> tuple[str, str] | None:
        """The first of the wanted names that is there but for case and spaces, and its column as a message shows it."""
        for name in wanted:
            if (found := self._by_spelling.get(_spelling(name))) is not None:
                return name, repr(found[:CELL_CHARACTERS_MAX])
        return None

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
    specs = [spec for spec in specs if spec.columns]
    if not specs:
        raise InputRejected("No model that was asked for takes tables; send audio files.")
    for header in headers:
        fitting = [spec for spec in specs if not _missing(header, spec)]
        if fitting:
            spec = max(fitting, key=lambda spec: len(required_columns(spec)))
            header.reject_duplicates((*ID_COLUMNS, TITLE, *required_columns(spec)))
            return header, spec
    reject_foreign_layout(headers)
    header, spec = min(((header, spec) for header in headers for spec in specs), key=lambda pair: _distance(*pair))
    missing = _missing(header, spec)
    nearly = {name: found for name in missing if (found := header.nearly(*_choices(name)))}
    faults = [
        Fault(
            "missing_column",
            f"required by {spec.name}" + (f"; the header has {nearly[name][1]}" if name in nearly else ""),
            line=header.line,
            column=shorten(name),
        )
        for name in missing
    ]
    kind = f"a table of {spec.name} features" + (" (the nearest kind)" if len(specs) > 1 else "")
    verb = "is" if len(missing) == 1 else "are"
    raise InputRejected(
        f"{len(missing)} of the {1 + len(required_columns(spec))} columns of {kind} {verb} missing: "
        f"{_listed(missing)}.{spelling_hint(nearly.values())}",
        faults=faults,
    )


def reject_foreign_layout(headers: Sequence[Header]) -> None:
    """Raises InputRejected when the line read as the header is Excel's separator line, or is separated by tabs."""
    first = headers[0]
    line = min((header.delimiter.join(header.names) for header in headers), key=len)
    if _SEPARATOR_LINE.fullmatch(line):
        fault = Fault("separator_line", "tells a spreadsheet the separator and names no columns", line=first.line)
        raise InputRejected(
            f"Line {first.line} is the separator line of a spreadsheet ({shorten(line)}); delete it, so that the "
            "column names come first.",
            faults=[fault],
        )
    if line.count("\t") >= max(len(header.names) for header in headers):
        fault = Fault("wrong_separator", "separated by tabs, not by commas or semicolons", line=first.line)
        raise InputRejected(
            "The columns seem to be separated by tabs; separate them by commas or semicolons (in a spreadsheet, save "
            "as CSV UTF-8).",
            faults=[fault],
        )


def spelling_hint(nearly: Iterable[tuple[str, str]]) -> str:
    """A sentence to append about columns that are there but for case and spaces; empty where there is none."""
    pairs = [f"{found} must be {name}" for name, found in nearly]
    return f" Case and spaces count: {_listed(pairs)}." if pairs else ""


def _spelling(name: str) -> str:
    return "".join(name.split()).casefold()


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:NAMES_SHOWN]) + (", …" if len(names) > NAMES_SHOWN else "")


def _distance(header: Header, spec: FeatureSpec) -> tuple[float, int]:
    """How far a table is from a spec; columns that differ by case or spaces only are nearly there."""
    missing = _missing(header, spec)
    strange = [name for name in missing if header.nearly(*_choices(name)) is None]
    return len(strange) / (1 + len(required_columns(spec))), len(missing)


def _missing(header: Header, spec: FeatureSpec) -> list[str]:
    names = set(header.names)
    missing = [name for name in required_columns(spec) if name not in names]
    return missing if names.intersection(ID_COLUMNS) else [_ANY_ID, *missing]


def _choices(missing: str) -> tuple[str, ...]:
    return ID_COLUMNS if missing == _ANY_ID else (missing,)
