"""A boosted ensemble at work: members (one a fold), each with its own encoding and its own trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.boosting.derive import DERIVATIONS
from groovemark.ml.models.boosting.linear import NumberScores
from groovemark.ml.models.boosting.tags import TagScores, find_words
from groovemark.ml.models.scores import softmax

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from groovemark.ml.models.boosting.predictor import Predictor

LARGEST = 1e30
"""Numbers are cut here, far from any real feature, so that neither scores nor float32 overflow."""


@dataclass(frozen=True)
class Rows:
    """(n, d) derived numbers and (n, v) words of n tracks; without a vocabulary there are no words."""

    numbers: NDArray[np.float64]
    words: csr_matrix | None


@dataclass(frozen=True)
class Encoding:
    """What a member's trees see: the derived numbers, and scores fitted on the member's fold."""

    number_scores: NumberScores | None = None
    tag_scores: TagScores | None = None

    def matrix(self, rows: Rows) -> NDArray[np.float32]:
        """(n, d + scores) of n rows of d numbers, C-ordered.

        float32 also hides that BLAS adds in another order for one row than for many: a row alone gets the same
        scores as among others.
        """
        parts = [np.clip(rows.numbers, -LARGEST, LARGEST)]
        if self.number_scores is not None:
            parts.append(self.number_scores(parts[0]))
        if self.tag_scores is not None:
            parts.append(self.tag_scores(rows.words))
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


@dataclass(frozen=True)
class Member:
    """One fold's model: trees grown with several seeds, and the temperature that calibrates them."""

    encoding: Encoding
    predictors: Sequence[Predictor]
    temperature: float

    def probabilities(self, rows: Rows) -> NDArray[np.float64]:
        """(n, k): softmax of the mean raw score over the temperature."""
        matrix = self.encoding.matrix(rows)
        scores = self.predictors[0].raw_scores(matrix)
        for predictor in self.predictors[1:]:
            scores += predictor.raw_scores(matrix)
        return softmax(scores / (len(self.predictors) * self.temperature))


def to_rows(table: FeatureTable, vocabulary: Mapping[str, int]) -> Rows:
    """Of tracks, which all members see."""
    words = find_words(table.texts["tags"], vocabulary) if vocabulary else None
    return Rows(DERIVATIONS[table.spec.name](table), words)
