"""What a fit has shown of itself on the rows that its inner folds held out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.models.scores import softmax


@dataclass(frozen=True)
class Held:
    """Answers by models that had not seen these rows; those that ship have.

    Attributes:
        rows: (m,) row numbers of the table; one that several models answered for stands there as often.
        answers: (m, k) probabilities, at the temperature that was found on them.
    """

    rows: NDArray[np.int64]
    answers: NDArray[np.float64]

    @classmethod
    def at(cls, temperature: float, rows: Sequence[NDArray[np.int64]], scores: NDArray[np.float64]) -> Held:
        """From the rows of each fold, and the (m, k) raw scores of all of them."""
        return cls(np.concatenate(rows), softmax(scores / temperature))
