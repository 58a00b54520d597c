"""What the compiled scanner is built with: how numba compiles it, two machine instructions, a table.

numba's cache on disk notices changes of the file of a compiled function only, so `scan` holds all of its own.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from groovemark.ml.compiling import kept

LOWEST_POWER, HIGHEST_POWER = -330, 310

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile on the first call, or load what an earlier process compiled."""
    # _nrt=False: nothing here allocates, and counting the references of arrays that pass from function to
    # function would take more than half of the time.
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "forceinline": True, "_nrt": False}
    return cast("_Function", kept(njit(**options)(function)))


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """A single machine instruction that numba has no name for; numba itself passes the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


@_intrinsic
def eight_bytes(_context: Any, data: Any, _position: Any) -> Any:
    """The eight bytes at a position as one little-endian number."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        array = context.make_array(signature.args[0])(context, builder, arguments[0])
        place = builder.bitcast(builder.gep(array.data, [arguments[1]]), ir.IntType(64).as_pointer())
        return builder.load(place, align=1)

    return types.uint64(data, types.intp), generate


@_intrinsic
def trailing_zero_bits(_context: Any, _value: Any) -> Any:
    """Zero bits below the lowest one bit; 64 where there is none."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 0))

    return types.int64(types.uint64), generate


@functools.cache
def powers_of_ten() -> NDArray[np.uint64]:
    """(641, 2) upper and lower 64 bits of 10**-330 to 10**310, scaled to 128 bits and rounded down."""
    table = np.empty((HIGHEST_POWER - LOWEST_POWER + 1, 2), np.uint64)
    for row, power in enumerate(range(LOWEST_POWER, HIGHEST_POWER + 1)):
        if power >= 0:
            exact = 10**power
            shift = exact.bit_length() - 128
            bits = exact >> shift if shift > 0 else exact << -shift
        else:
            divisor = 10**-power
            bits = (1 << (127 + divisor.bit_length())) // divisor
            bits >>= bits.bit_length() - 128
        table[row] = bits >> 64, bits & (2**64 - 1)
    return table
