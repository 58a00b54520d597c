"""A forest at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, in_blocks, require_features
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


class ForestClassifier:
    """A `Classifier`: the mean of its members' probabilities."""

    def __init__(self, spec: ModelSpec, members: Sequence[Member], *, threads: int = 1) -> None:
        self._spec = spec
        self._members = tuple(members)
        self._threads = threads

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of the n rows. Raises ModelRejected for rows of another feature set."""
        require_features(self._spec, batch)
        return in_blocks(batch, len(self._spec.labels), self._run_block, threads=self._threads)

    def close(self) -> None:
        """Forget the trees."""
        self._members = ()

    def _run_block(self, block: FeatureTable) -> NDArray[np.float64]:
        matrix = to_matrix(block)
        total = np.zeros((len(block), len(self._spec.labels)))
        for member in self._members:
            total += member.probabilities(matrix)
        return np.asarray(total / total.sum(axis=1, keepdims=True))


def to_matrix(table: FeatureTable) -> NDArray[np.float32]:
    """(n, d) numbers of the table as trees take them; texts are left out."""
    return np.asarray(np.clip(table.numbers, -LARGEST, LARGEST), dtype=np.float32)


def with_temperature(probabilities: NDArray[np.float64], temperature: float) -> NDArray[np.float64]:
    """(n, k) -> (n, k) proportional to p^(1 / T); 1 leaves them as they are."""
    if temperature == 1:
        return probabilities
    powers = probabilities ** (1 / temperature)
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
