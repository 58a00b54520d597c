"""A forest at work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.forest.trees import Trees

LARGEST = 1e30
"""Numbers are cut here, far from any real feature, so that float32 does not overflow."""


@dataclass(frozen=True)
class Member:
    """One fit: trees grown with several seeds, and the temperature that calibrates their mean."""

    trees: Trees
    temperature: float

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) -> (n, k)."""
        return with_temperature(self.trees.probabilities(matrix), self.temperature)


def to_matrix(table: FeatureTable) -> NDArray[np.float32]:
    """(n, d) numbers of the table as trees take them; texts are left out."""
    return np.asarray(np.clip(table.numbers, -LARGEST, LARGEST), dtype=np.float32)


def with_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """(n, k) -> (n, k) proportional to p^(1 / T); 1 leaves them as they are."""
    if temperature == 1:
        return probabilities
    powers = probabilities ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
