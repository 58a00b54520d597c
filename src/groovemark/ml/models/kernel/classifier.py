"""A kernel model at work."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.scores import Floats, linear_scores, signed_logarithms, softmax

FARTHEST = 5.0
"""Standardised numbers are cut here: beyond it a row is like no row that taught."""


@dataclass(frozen=True)
class Member:
    """One fit.

    Attributes:
        mean, deviation: (d,) of the signed logarithms of the numbers.
        directions: (d, w) float32 and phases: (w,) of the waves.
        weights: (w, k); bias: (k,).
        temperature: that calibrates the scores.
    """

    mean: Floats
    deviation: Floats
    directions: NDArray[np.float32]
    phases: Floats
    weights: Floats
    bias: Floats
    temperature: float

    def scores(self, table: FeatureTable) -> Floats:
        """(n, k) of n rows."""
        waves = to_waves(table, self.mean, self.deviation, self.directions, self.phases)
        return linear_scores(waves, self.weights, self.bias)

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k): softmax of the score over the temperature."""
        return softmax(self.scores(table) / self.temperature)


def to_waves(
    table: FeatureTable, mean: Floats, deviation: Floats, directions: NDArray[np.float32], phases: Floats
) -> Floats:
    """(n, w): sqrt(2/w) cos(x · direction + phase) of the standardised signed logarithms x of a row.

    The product of two rows of it is about their likeness under the kernel (Rahimi & Recht 2007).
    """
    standard = np.clip((signed_logarithms(table.numbers) - mean) / deviation, -FARTHEST, FARTHEST)
    angles = linear_scores(standard, directions.astype(np.float64), phases)
    return np.asarray(np.sqrt(2 / len(phases)) * np.cos(angles))
