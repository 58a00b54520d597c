"""The strict rules for one cell, in plain Python: what it means, or what is wrong with it.

The compiled scanner settles ordinary cells; every row it is not sure of comes here.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import Fault, shorten
from groovemark.ml.features.spec import Column

TRACK_ID_HIGHEST = 2**63 - 1
TRACK_ID_TEXT_CHARACTERS_MAX = 255

_NUMBER = re.compile(r"[ \t]*[+-]?(?:[0-9]+(?:\.[0-9]*)?|\.[0-9]+)(?:[eE][+-]?[0-9]+)?[ \t]*")
_NAN = re.compile(r"[ \t]*[+-]?nan[ \t]*", re.IGNORECASE)
_INFINITE = re.compile(r"[ \t]*[+-]?inf(?:inity)?[ \t]*", re.IGNORECASE)
_WHOLE = re.compile(r"[ \t]*([+-]?)0*([0-9]+)(?:\.0*)?[ \t]*")
_FRACTION = re.compile(r"\.[0-9]*[1-9][0-9]*[ \t]*$")
_PLAIN_ID = re.compile(r"0|[1-9][0-9]{0,17}")
_PLAIN_IDS = re.compile(rf"(?:(?:{_PLAIN_ID.pattern}) )*+(?:{_PLAIN_ID.pattern})")


class Missing(Exception):
    """The cell is empty: its row is dropped and counted, not refused."""


class BadCell(Exception):
    """What is wrong with a cell."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message

    def at(self, line: int, column: str, *, item: str | None = None) -> Fault:
        return Fault(self.code, self.message, item=item, line=line, column=column)


def read_text(cell: str, *, characters_max: int) -> str:
    """The cell itself, unless it is empty, too long or holds a NUL."""
    if not cell:
        raise Missing
    check_length(cell, characters_max)
    if "\0" in cell:
        raise BadCell("nul", f"'{shorten(cell)}' contains a NUL character")
    return cell


def check_length(cell: str, characters_max: int) -> None:
    if len(cell) > characters_max:
        raise BadCell("too_long", f"{len(cell):,} characters; at most {characters_max:,} are allowed")


def read_number(cell: str, column: Column, *, characters_max: int) -> float:
    """The float64 nearest to a decimal number; spaces around it are passed over.

    ASCII digits with a point, an optional sign and exponent; no underscores, no hexadecimal, no decimal comma.
    """
    if not cell or _NAN.fullmatch(cell):
        raise Missing
    check_length(cell, characters_max)
    value = _decimal(cell)
    if not math.isfinite(value):
        raise BadCell("infinite", f"'{shorten(cell)}' is not a finite number")
    if column.kind == "integer" and value != math.floor(value):
        raise BadCell("fractional", f"'{shorten(cell)}' is not a whole number")
    low, high = column_range(column)
    if not low <= value <= high:
        raise BadCell("out_of_range", f"'{shorten(cell)}' is {_range_text(column)}")
    return value


def column_range(column: Column) -> tuple[float, float]:
    low = -math.inf if column.minimum is None else column.minimum
    high = math.inf if column.maximum is None else column.maximum
    return low, high


def _decimal(cell: str) -> float:
    if _NUMBER.fullmatch(cell):
        return float(cell)
    if _INFINITE.fullmatch(cell):
        return math.inf
    if "\0" in cell:
        raise BadCell("nul", f"'{shorten(cell)}' contains a NUL character")
    hint = "; decimals are written with a point" if re.fullmatch(r"[+-]?[0-9]+,[0-9]+", cell) else ""
    raise BadCell("not_a_number", f"'{shorten(cell)}' is not a number{hint}")


def _range_text(column: Column) -> str:
    if column.minimum is None:
        return f"above {column.maximum:g}"
    if column.maximum is None:
        return f"below {column.minimum:g}"
    return f"not between {column.minimum:g} and {column.maximum:g}"


def are_canonical_track_ids(cells: Sequence[str]) -> NDArray[np.bool_]:
    """Which ids need no `read_track_id`: plain digits, well below the limit, as most are."""
    joined = " ".join(cells)
    if joined.count(" ") == len(cells) - 1 and _PLAIN_IDS.fullmatch(joined):
        return np.ones(len(cells), np.bool_)
    return np.array([_PLAIN_ID.fullmatch(cell) is not None for cell in cells], np.bool_)


def read_track_id(cell: str, *, characters_max: int) -> str:
    """Canonical text of a trackID, an integer from 0 to 2**63 - 1: "007" is "7"; so is a float column's "7.0".

    An exponent is refused even where the value is whole: spreadsheets write 1.23457E+12 after losing digits.
    """
    if not cell or _NAN.fullmatch(cell):
        raise Missing
    check_length(cell, characters_max)
    whole = _WHOLE.fullmatch(cell)
    if whole is None:
        value = _decimal(cell)
        if math.isinf(value):
            raise BadCell("infinite", f"'{shorten(cell)}' is not a finite number")
        if value != math.floor(value) or _FRACTION.search(cell):
            raise BadCell("fractional", f"'{shorten(cell)}' is not a whole number")
        raise BadCell("not_an_integer", f"'{shorten(cell)}' must be written out in digits")
    sign, digits = whole.groups()
    if len(digits) > len(str(TRACK_ID_HIGHEST)) or int(digits) > TRACK_ID_HIGHEST:
        raise BadCell("oversized", f"'{shorten(cell)}' is beyond {TRACK_ID_HIGHEST}")
    if sign == "-" and int(digits) > 0:
        raise BadCell("out_of_range", f"'{shorten(cell)}' is below 0")
    return digits
