"""Columns computed from a row alone, before anything fitted: the same for one row as for a million."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.sets import ECHONEST_155, FMA_42, GTZAN_57
from groovemark.ml.features.tabular import FeatureTable

Numbers = NDArray[np.float64]
Derivation = Callable[[FeatureTable], Numbers]
_TINY = 1e-12


def derive_echonest(table: FeatureTable) -> Numbers:
    """Signed logarithms of all numbers but the duration; key and mode as one number from 0 to 23."""
    names = table.spec.numeric_names
    kept = [index for index, name in enumerate(names) if name not in {"duration", "key"}]
    key_and_mode = 2 * table.column("key") + table.column("mode")
    numbers = table.numbers[:, kept]
    return np.column_stack([np.copysign(np.log1p(np.abs(numbers)), numbers), key_and_mode])


def derive_fma(table: FeatureTable) -> Numbers:
    """The 42 means, the chroma sorted by strength (the same in every key), and its spread."""
    chroma = table.numbers[:, _columns(table, "chroma_")]
    ordered = np.sort(chroma, axis=1)
    return np.column_stack([table.numbers, ordered, ordered[:, -1] - ordered[:, 0]])


def derive_gtzan(table: FeatureTable) -> Numbers:
    """Means as they are, logarithms of the variances."""
    names = table.spec.numeric_names
    numbers = table.numbers.copy()
    variances = [index for index, name in enumerate(names) if name.endswith("_var")]
    numbers[:, variances] = np.log(np.maximum(numbers[:, variances], 0) + _TINY)
    return numbers


def _columns(table: FeatureTable, prefix: str) -> list[int]:
    return [index for index, name in enumerate(table.spec.numeric_names) if name.startswith(prefix)]


DERIVATIONS: Mapping[str, Derivation] = {
    ECHONEST_155.name: derive_echonest,
    FMA_42.name: derive_fma,
    GTZAN_57.name: derive_gtzan,
}
"""By feature set."""
