"""LightGBM by itself, for trees that are not compiled here.

Importing it greets scikit-learn, pandas and plotting, which prediction never uses.
"""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

# Measured: 1.0 s and 61 MB instead of 6.0 s and 193 MB (processor time, resident).
_GREETED = ("sklearn", "pandas", "pyarrow", "matplotlib", "graphviz", "dask")
_lock = threading.Lock()


def load_lightgbm() -> ModuleType:
    """The module `lightgbm`; its native interface is whole, its scikit-learn and plotting interfaces are not."""
    with _lock, _hidden(_GREETED):
        import lightgbm
    return lightgbm


class LibraryPredictor:
    """A `Predictor`: LightGBM on one thread."""

    def __init__(self, text: str) -> None:
        self._booster = load_lightgbm().Booster(model_str=text)

    def raw_scores(self, matrix: NDArray[np.float32], /) -> NDArray[np.float64]:
        """(n, d) -> (n, k)."""
        wide = matrix.astype(np.float64)  # the library reads rows of it an eighth faster
        return np.asarray(self._booster.predict(wide, raw_score=True, num_threads=1, validate_features=False))


@contextmanager
def _hidden(names: tuple[str, ...]) -> Iterator[None]:
    """Packages not imported yet seem not to be installed."""
    hidden = [name for name in names if name not in sys.modules]
    for name in hidden:
        sys.modules[name] = None  # type: ignore[assignment]  # the import system's own way to say so
    try:
        yield
    finally:
        for name in hidden:
            del sys.modules[name]
