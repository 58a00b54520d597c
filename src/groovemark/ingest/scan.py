"""The compiled scanner under the CSV reader: one pass over bytes finds rows and fields and reads numbers.

RFC 4180 as Python's csv module reads it: a quote opens a field only as its first byte, `""` inside quotes
is one quote, rows end with LF, CRLF or CR. A number is read here only when the result is certain to equal Python's
`float(text)`; whatever is less than certain, or looks wrong, is left to `cells`, which sees the text.
"""

# ruff: noqa: PLR1714, SIM109 - numba compiles a comparison better than a search in a tuple

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ingest.compiled import HIGHEST_POWER, LOWEST_POWER, compiled, eight_bytes, trailing_zero_bits

LF, CR, QUOTE, SPACE, TAB = 10, 13, 34, 32, 9
PLUS, MINUS, POINT, ZERO = 43, 45, 46, np.uint8(48)

MISSING = 1
"""Row state: a required field is empty, or a number is NaN."""
SUSPECT = 2
"""Row state: some cell needs a closer look."""
RAGGED = 4
"""Row state: more or fewer fields than the header."""
UNCLOSED = 8
"""Row state: the input ends inside a quoted field of this row."""

PLAIN, QUOTED, ESCAPED = 0, 1, 2
"""Cell states: the bytes as they are, without their quotes, or to be unescaped."""

_MASK32 = np.uint64(0xFFFFFFFF)
_MASK52 = np.uint64((1 << 52) - 1)
_ONE, _ZERO64 = np.uint64(1), np.uint64(0)
_POWERS_OF_TEN = np.array([10.0**power for power in range(23)])
_WHOLE_POWERS_OF_TEN = np.array([10**power for power in range(9)], np.uint64)
_ONES, _TOP_BITS = np.uint64(0x0101010101010101), np.uint64(0x8080808080808080)
_THREES, _SIXES = np.uint64(0x3030303030303030), np.uint64(0x0606060606060606)
_UPPER_HALVES, _LOWER_HALVES = np.uint64(0xF0F0F0F0F0F0F0F0), np.uint64(0x0F0F0F0F0F0F0F0F)
PADDING = bytes(8)
"""What must follow the bytes to scan, because they are read eight at a time."""


@compiled
def _multiply(left: np.uint64, right: np.uint64) -> tuple[np.uint64, np.uint64]:
    """The upper and lower 64 bits of a product."""
    a, b = left >> np.uint64(32), left & _MASK32
    c, d = right >> np.uint64(32), right & _MASK32
    low = b * d
    middle = a * d + (low >> np.uint64(32))
    other = b * c + (middle & _MASK32)
    return (
        a * c + (middle >> np.uint64(32)) + (other >> np.uint64(32)),
        (other << np.uint64(32)) | (low & _MASK32),
    )


@compiled
def _nearest(mantissa: np.uint64, power: int, powers: NDArray[np.uint64]) -> tuple[bool, np.uint64]:
    """The bits of the float64 nearest to mantissa * 10**power, or False where 128 bits cannot tell.

    Source: Lemire, Number parsing at a gigabyte per second, 2021 (the Eisel-Lemire algorithm).
    """
    if power < LOWEST_POWER or power > HIGHEST_POWER:
        return False, _ZERO64
    leading = 0
    while mantissa >> np.uint64(63) == _ZERO64:
        mantissa <<= _ONE
        leading += 1
    exponent = ((217706 * power) >> 16) + 64 + 1023 - leading
    upper, lower = _multiply(mantissa, powers[power - LOWEST_POWER, 0])
    if upper & np.uint64(0x1FF) == np.uint64(0x1FF) and lower + mantissa < mantissa:
        more, rest = _multiply(mantissa, powers[power - LOWEST_POWER, 1])
        merged = lower + more
        if merged < lower:
            upper += _ONE
        if upper & np.uint64(0x1FF) == np.uint64(0x1FF) and merged + _ONE == _ZERO64 and rest + mantissa < mantissa:
            return False, _ZERO64
        lower = merged
    top = upper >> np.uint64(63)
    result = upper >> (top + np.uint64(9))
    exponent += int(top) - 1
    if lower == _ZERO64 and upper & np.uint64(0x1FF) == _ZERO64 and result & np.uint64(3) == _ONE:
        return False, _ZERO64  # exactly half way between two floats
    result = (result + (result & _ONE)) >> _ONE
    if result >> np.uint64(53) != _ZERO64:
        result >>= _ONE
        exponent += 1
    if exponent < 1 or exponent >= 0x7FF:  # subnormal or infinite
        return False, _ZERO64
    return True, (np.uint64(exponent) << np.uint64(52)) | (result & _MASK52)


@compiled
def _byte_at(data: NDArray[np.uint8], position: int) -> int:
    """The byte there, or -1 past the end."""
    return int(data[position]) if position < len(data) - len(PADDING) else -1


@compiled
def _skip_spaces(data: NDArray[np.uint8], position: int) -> int:
    while _byte_at(data, position) == SPACE or _byte_at(data, position) == TAB:
        position += 1
    return position


@compiled
def _read_digits(data: NDArray[np.uint8], position: int, mantissa: np.uint64) -> tuple[int, np.uint64]:
    """The end of a run of digits, and the mantissa with them appended; beyond 19 digits it is meaningless.

    Eight bytes at a time in one register: how many of them are digits, and their value, without a branch.
    """
    while True:
        word = eight_bytes(data, position)
        # A digit is 0x30 to 0x39: its upper half is 3, before and after adding 6.
        others = (word ^ _THREES | (word + _SIXES) ^ _THREES) & _UPPER_HALVES
        count = trailing_zero_bits(others) >> 3
        if count == 0:
            return position, mantissa
        # The first digit is in the lowest byte; shifted up, what lies below it counts as leading zeros.
        word = (word << np.uint64(64 - 8 * count)) & _LOWER_HALVES
        word = (word * np.uint64(2561)) >> np.uint64(8)
        word = ((word & np.uint64(0x00FF00FF00FF00FF)) * np.uint64(6553601)) >> np.uint64(16)
        word = ((word & np.uint64(0x0000FFFF0000FFFF)) * np.uint64(42949672960001)) >> np.uint64(32)
        mantissa = mantissa * _WHOLE_POWERS_OF_TEN[count] + word
        position += count
        if count < 8:
            return position, mantissa


@compiled
def _significant_digits(data: NDArray[np.uint8], start: int, end: int) -> int:
    """Digits from the first that is not zero on."""
    digits = 0
    for position in range(start, end):
        if data[position] != POINT and (digits or data[position] != ZERO):
            digits += 1
    return digits


@compiled
def _read_exponent(data: NDArray[np.uint8], position: int) -> tuple[int, int, bool]:
    """The end of an exponent, its value, and whether there is one."""
    sign = _byte_at(data, position)
    if sign == MINUS or sign == PLUS:
        position += 1
    first, value = position, 0
    while data[position] ^ ZERO <= 9:
        value = min(value * 10 + int(data[position] ^ ZERO), 100_000)
        position += 1
    return position, -value if sign == MINUS else value, position > first


@compiled
def _read_number(
    data: NDArray[np.uint8],
    position: int,
    numbers: NDArray[np.float64],
    bits: NDArray[np.uint64],
    slot: int,
    powers: NDArray[np.uint64],
) -> tuple[bool, int]:
    """Whether a number stands at `position`, and its end; numbers[slot], in memory also bits[slot], is set."""
    position = _skip_spaces(data, position)
    sign = _byte_at(data, position)
    if sign == MINUS or sign == PLUS:
        position += 1
    first = position
    position, mantissa = _read_digits(data, position, _ZERO64)
    digits = position - first
    power = 0
    if _byte_at(data, position) == POINT:
        position += 1
        point = position
        position, mantissa = _read_digits(data, position, mantissa)
        power = point - position
        digits -= power
    if digits == 0 or (digits > 19 and _significant_digits(data, first, position) > 19):
        return False, position
    if _byte_at(data, position) | 32 == 101:  # e or E
        position, exponent, is_exponent = _read_exponent(data, position + 1)
        if not is_exponent:
            return False, position
        power += exponent
    position = _skip_spaces(data, position)
    negative = sign == MINUS
    if mantissa == _ZERO64:
        numbers[slot] = -0.0 if negative else 0.0
    elif mantissa >> np.uint64(53) == _ZERO64 and -22 <= power <= 22:
        # Both factors are exact, so one correctly rounded operation gives the nearest float (Clinger 1990).
        value = np.float64(mantissa)
        value = value * _POWERS_OF_TEN[power] if power >= 0 else value / _POWERS_OF_TEN[-power]
        numbers[slot] = -value if negative else value
    else:
        certain, pattern = _nearest(mantissa, power, powers)
        if not certain:
            return False, position
        bits[slot] = pattern | (np.uint64(negative) << np.uint64(63))
    return True, position


@compiled
def _ends_field(data: NDArray[np.uint8], position: int, delimiter: int) -> bool:
    byte = _byte_at(data, position)
    return bool(byte == delimiter or byte == LF or byte == CR or byte == -1)


@compiled
def _is_nan(data: NDArray[np.uint8], start: int, end: int) -> bool:
    return end - start == 3 and data[start] | 32 == 110 and data[start + 1] | 32 == 97 and data[start + 2] | 32 == 110


@compiled
def _find(data: NDArray[np.uint8], position: int, first: int, second: int, third: int) -> int:
    """The next byte that is one of three or NUL; the padding makes sure that there is one."""
    one, two, three = np.uint64(first) * _ONES, np.uint64(second) * _ONES, np.uint64(third) * _ONES
    while True:
        word = eight_bytes(data, position)
        found = (word - _ONES) & ~word
        word ^= one
        found |= (word - _ONES) & ~word
        word ^= one ^ two
        found |= (word - _ONES) & ~word
        word ^= two ^ three
        found |= (word - _ONES) & ~word
        found &= _TOP_BITS
        if found != _ZERO64:
            return int(position + (trailing_zero_bits(found) >> 3))
        position += 8


@compiled
def _skip_field(data: NDArray[np.uint8], position: int, delimiter: int) -> tuple[int, int, int, bool, bool]:
    """Past any field: its end, state, line ends inside it, whether it holds a NUL, whether it is closed."""
    size = len(data) - len(PADDING)
    kind, lines, has_nul = PLAIN, 0, False
    if _byte_at(data, position) == QUOTE:
        kind = QUOTED
        position += 1
        while True:
            position = _find(data, position, QUOTE, LF, CR)
            if position >= size:
                return size, ESCAPED, lines, has_nul, False
            byte = data[position]
            position += 1
            if byte == QUOTE:
                if _byte_at(data, position) != QUOTE:
                    break
                kind = ESCAPED
                position += 1
            elif byte == 0:
                has_nul = True
            elif byte == LF or _byte_at(data, position) != LF:
                lines += 1
        if not _ends_field(data, position, delimiter):
            kind = ESCAPED
    position = _find(data, position, delimiter, LF, CR)
    while position < size and data[position] == 0:
        has_nul = True
        position = _find(data, position + 1, delimiter, LF, CR)
    return position, kind, lines, has_nul, True


@compiled
def _number_field(
    data: NDArray[np.uint8],
    position: int,
    delimiter: int,
    numbers: NDArray[np.float64],
    bits: NDArray[np.uint64],
    slot: int,
    powers: NDArray[np.uint64],
) -> tuple[bool, int]:
    """Whether the field at `position` is one plain number, quoted or not, and its end if so."""
    quoted = _byte_at(data, position) == QUOTE
    is_number, position = _read_number(data, position + 1 if quoted else position, numbers, bits, slot, powers)
    if quoted:
        is_number = is_number and _byte_at(data, position) == QUOTE
        position += 1
    return is_number and _ends_field(data, position, delimiter), position


@compiled
def scan_rows(  # noqa: C901, PLR0912, PLR0915 - one loop over fields, whose state calls would copy
    data: NDArray[np.uint8],
    position: int,
    line: int,
    is_final: bool,
    delimiter: int,
    targets: NDArray[np.int32],
    ranges: NDArray[np.float64],
    whole: NDArray[np.bool_],
    required: NDArray[np.bool_],
    size_limits: NDArray[np.int64],
    powers: NDArray[np.uint64],
    numbers: NDArray[np.float64],
    bits: NDArray[np.uint64],
    cells: NDArray[np.int64],
    rows: NDArray[np.int64],
) -> tuple[int, int, int]:
    """Find up to len(rows) rows and read their fields; a row that `data` does not hold whole is left.

    Args:
        data: UTF-8 bytes and PADDING; the scan starts at `position`, the start of a row on physical line `line`.
        is_final: nothing follows `data`, so that its end also ends a row.
        targets: for each column of the file its numeric slot, or -2 - its text slot, or -1 if not wanted.
        ranges: (numeric slots, 2) lowest and highest value.
        whole: (numeric slots,) whether only whole numbers are allowed.
        required: (text slots,) whether an empty cell makes the row one with missing values.
        size_limits: (text slots + 1,) bytes beyond which a cell is suspect, the last for numbers.
        powers: `powers_of_ten()`.
        numbers: out, flat (rows * numeric slots,) float64; `bits` is the same memory as uint64.
        cells: out, (rows, text slots, 3) start, end and state of a text cell.
        rows: out, (rows, 4) start, end (line end included), physical line and state of a row.

    Returns:
        Rows found, position and line of the first byte after them. Blank lines are passed over.
    """
    size, width, slots = len(data) - len(PADDING), len(targets), len(ranges)
    found = 0
    while found < len(rows) and position < size:
        start, first_line = position, line
        state, column = 0, 0
        while True:
            begin = position
            target = targets[column] if column < width else -1
            is_number = False
            if target >= 0:
                slot = found * slots + target
                is_number, end = _number_field(data, begin, delimiter, numbers, bits, slot, powers)
            if is_number:
                position = end
                value = numbers[slot]
                in_range = ranges[target, 0] <= value <= ranges[target, 1]
                fractional = whole[target] and value != np.floor(value)
                if not in_range or fractional or end - begin > size_limits[-1]:
                    state |= SUSPECT
            else:
                position, kind, lines, has_nul, closed = _skip_field(data, begin, delimiter)
                line += lines
                end = position
                if kind == QUOTED:
                    begin, end = begin + 1, end - 1
                if not closed:
                    state |= UNCLOSED
                if has_nul:
                    state |= SUSPECT
                if target >= 0:
                    state |= MISSING if begin == end or _is_nan(data, begin, end) else SUSPECT
                elif target < -1:
                    slot = -2 - target
                    cells[found, slot, 0], cells[found, slot, 1], cells[found, slot, 2] = begin, end, kind
                    if begin == end and required[slot]:
                        state |= MISSING
                    if end - begin > size_limits[slot]:
                        state |= SUSPECT
            column += 1
            if _byte_at(data, position) != delimiter:
                break
            position += 1
        is_whole = position + 1 < size or (position < size and data[position] == LF)
        if not is_whole and not is_final:
            return found, start, first_line
        if _byte_at(data, position) == CR and _byte_at(data, position + 1) == LF:
            position += 1
        if position < size:
            position += 1
            line += 1
        if data[start] == LF or data[start] == CR:
            continue
        if column != width:
            state |= RAGGED
        rows[found, 0], rows[found, 1], rows[found, 2], rows[found, 3] = start, position, first_line, state
        found += 1
    return found, position, line
