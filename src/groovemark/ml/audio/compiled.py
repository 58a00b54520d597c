"""How loops are compiled by numba, and the mixing of channels."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

import numpy as np
from numba import njit
from numpy.typing import NDArray

_Function = TypeVar("_Function", bound=Callable[..., Any])


def compiled(function: _Function) -> _Function:
    """Compile on the first call, or load what an earlier process compiled where the disk could keep it."""
    return _compile(function, frozenset())


def compiled_for_sums(function: _Function) -> _Function:
    """Sums may be added in any order, so that they run in vectors; NaN and infinity keep their meaning."""
    return _compile(function, _ANY_ORDER)


def compiled_for_extremes(function: _Function) -> _Function:
    """Minima and maxima run in vectors too; of what holds NaN, anything may come out."""
    return _compile(function, _ANY_ORDER | {"nnan"})


_ANY_ORDER = frozenset({"reassoc", "contract", "nsz"})


def _compile(function: _Function, freedoms: frozenset[str]) -> _Function:
    options: dict[str, Any] = {"nogil": True, "error_model": "numpy", "fastmath": set(freedoms)}
    try:
        return cast("_Function", njit(cache=True, **options)(function))
    except RuntimeError:  # neither beside the source nor in the user's cache may anything be written
        return cast("_Function", njit(**options)(function))


@compiled
def mix_pair(block: NDArray[np.float32], mixed: NDArray[np.float32]) -> None:
    """(frame, 2) float32 → (frame,): half the sum."""
    for frame in range(len(mixed)):
        mixed[frame] = (block[frame, 0] + block[frame, 1]) * np.float32(0.5)


@compiled
def mix_integers(block: NDArray[np.int16], mixed: NDArray[np.float32]) -> None:
    """(frame, 1 or 2) of 16 bits → (frame,) in −1..1. Exact: the sum of two samples has 17 bits, a float32 holds 24."""
    if block.shape[1] == 1:
        for frame in range(len(mixed)):
            mixed[frame] = np.float32(block[frame, 0]) * np.float32(1 / 32_768)
    else:
        for frame in range(len(mixed)):
            total = np.int32(block[frame, 0]) + np.int32(block[frame, 1])
            mixed[frame] = np.float32(total) * np.float32(1 / 65_536)


def warm_up() -> None:
    """Compile both for what `decode` hands them: a sandboxed child can keep nothing on disk that it compiles later."""
    mixed = np.empty(1, dtype=np.float32)
    mix_pair(np.zeros((1, 2), dtype=np.float32), mixed)
    mix_integers(np.zeros((1, 2), dtype=np.int16), mixed)
