"""How the numerical loops of ml are compiled by numba."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar, cast

from numba import njit
from numba.core.caching import FunctionCache

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
    return cast("_Function", kept(njit(**options)(function)))


def kept(dispatcher: Any) -> Any:
    """numba's dispatcher, which will keep what it compiles on disk where it can."""
    with suppress(RuntimeError):  # neither beside the source nor in the user's cache may anything be written
        # As its enable_caching() does.
        dispatcher._cache = SharedCache(dispatcher.py_func)  # type: ignore[no-untyped-call]
    return dispatcher


class SharedCache(FunctionCache):
    """numba's cache on disk, for processes that compile at the same time.

    Two that compile one function for different types choose the same file, and the index is left with one's types and
    the other's code: whoever called it afterwards would crash, for good.
    """

    def save_overload(self, sig: Any, data: Any) -> None:
        Path(self.cache_path).mkdir(parents=True, exist_ok=True)
        folder = os.open(self.cache_path, os.O_RDONLY)
        try:
            fcntl.flock(folder, fcntl.LOCK_EX)
            super().save_overload(sig, data)  # type: ignore[no-untyped-call]
        finally:
            os.close(folder)
