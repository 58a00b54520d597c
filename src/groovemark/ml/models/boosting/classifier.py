"""A boosted ensemble at work: members (one a fold), each with its own encoding and its own trees."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, in_blocks, require_features
from groovemark.ml.models.boosting.derive import DERIVATIONS
from groovemark.ml.models.boosting.linear import NumberScores
from groovemark.ml.models.boosting.tags import TagScores, find_words

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

    from groovemark.ml.models.boosting.predictor import Predictor

LARGEST = 1e30
"""Numbers are cut here, far from any real feature, so that neither scores nor float32 overflow."""


@dataclass(frozen=True)
class Encoding:
    """What a member's trees see: the derived numbers, and scores fitted on the member's fold."""

    number_scores: NumberScores | None = None
    tag_scores: TagScores | None = None

    def matrix(self, numbers: NDArray[np.float64], words: csr_matrix | None) -> NDArray[np.float32]:
        """(n, d) numbers and (n, v) words -> (n, d + scores), C-ordered.

        float32 also hides that BLAS adds in another order for one row than for many: a row alone gets the same
        scores as among others.
        """
        parts = [np.clip(numbers, -LARGEST, LARGEST)]
        if self.number_scores is not None:
            parts.append(self.number_scores(parts[0]))
        if self.tag_scores is not None:
            parts.append(self.tag_scores(words))
        return np.concatenate(parts, axis=1, dtype=np.float32, casting="same_kind")


@dataclass(frozen=True)
class Member:
    """One fold's model: trees grown with several seeds, and the temperature that calibrates them."""

    encoding: Encoding
    predictors: Sequence[Predictor]
    temperature: float

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) -> (n, k): softmax of the mean raw score over the temperature."""
        scores = self.predictors[0].raw_scores(matrix)
        for predictor in self.predictors[1:]:
            scores += predictor.raw_scores(matrix)
        return softmax(scores / (len(self.predictors) * self.temperature))


class BoostedClassifier:
    """A `Classifier`: the mean of its members' probabilities."""

    def __init__(
        self, spec: ModelSpec, members: Sequence[Member], vocabulary: Mapping[str, int], *, threads: int = 1
    ) -> None:
        self._spec = spec
        self._members = tuple(members)
        self._vocabulary = vocabulary
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
        numbers = DERIVATIONS[block.spec.name](block)
        words = find_words(block.texts["tags"], self._vocabulary) if self._vocabulary else None
        total = np.zeros((len(block), len(self._spec.labels)))
        for member in self._members:
            total += member.probabilities(member.encoding.matrix(numbers, words))
        return np.asarray(total / total.sum(axis=1, keepdims=True))


def softmax(scores: NDArray[np.float64]) -> NDArray[np.float64]:
    """(n, k) scores -> (n, k) probabilities, each row summing to 1."""
    powers = np.exp(scores - scores.max(axis=1, keepdims=True))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))
