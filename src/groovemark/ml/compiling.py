"""How the numerical loops of ml are compiled by numba."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar, cast

from numba import njit

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
