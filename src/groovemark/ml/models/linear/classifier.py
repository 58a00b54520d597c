"""A linear model at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, in_blocks, require_features

LARGEST = 1e30
"""Numbers are cut here, far from any real feature, so that no score overflows."""


@dataclass(frozen=True)
class Member:
    """One fit.

    Attributes:
        weights: (d, k); bias: (k,); standardisation is folded into both.
        temperature: that calibrates the scores.
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]
    temperature: float

    def scores(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) -> (n, k).

        Row by row: the product of a higher matrix adds in another order, and a row is to get the same bits alone and
        among others.
        """
        scores = np.empty((len(numbers), len(self.bias)))
        for row, answer in zip(numbers, scores, strict=True):
            np.dot(row, self.weights, out=answer)
        return scores + self.bias

    def probabilities(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) -> (n, k): softmax of the score over the temperature."""
        scores = self.scores(numbers) / self.temperature
        powers = np.exp(np.maximum(scores - scores.max(axis=1, keepdims=True), -700))
        return np.asarray(powers / powers.sum(axis=1, keepdims=True))


class LinearClassifier:
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
        """Forget the weights."""
        self._members = ()

    def _run_block(self, block: FeatureTable) -> NDArray[np.float64]:
        numbers = to_numbers(block)
        total = np.zeros((len(block), len(self._spec.labels)))
        for member in self._members:
            total += member.probabilities(numbers)
        return np.asarray(total / total.sum(axis=1, keepdims=True))


def to_numbers(table: FeatureTable) -> NDArray[np.float64]:
    """(n, d) numbers of the table, of columns or of a tensor; texts are left out."""
    return np.asarray(np.clip(table.numbers, -LARGEST, LARGEST), dtype=np.float64)
