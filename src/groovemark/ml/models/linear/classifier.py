"""A linear model at work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.scores import linear_scores, softmax

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
        """(n, d) -> (n, k)."""
        return linear_scores(numbers, self.weights, self.bias)

    def probabilities(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) -> (n, k): softmax of the score over the temperature."""
        return softmax(self.scores(numbers) / self.temperature)


def to_numbers(table: FeatureTable) -> NDArray[np.float64]:
    """(n, d) numbers of the table, of columns or of a tensor; texts are left out."""
    return np.asarray(np.clip(table.numbers, -LARGEST, LARGEST), dtype=np.float64)
