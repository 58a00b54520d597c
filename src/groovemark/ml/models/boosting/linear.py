"""Linear scores of the numeric columns, one a label, for trees that would need many splits to find them."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True)
class NumberScores:
    """One linear score a label, fitted on one fold; standardisation is folded into the weights.

    Attributes:
        weights: (d, k); bias: (k,).
    """

    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __call__(self, numbers: NDArray[np.float64]) -> NDArray[np.float64]:
        """(n, d) derived numbers -> (n, k) scores."""
        return np.asarray(numbers @ self.weights + self.bias)
