"""Fitting an Encoding on one fold, without letting a row's own label into its scores."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, TypeVar

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.boosting.classifier import Encoding, to_rows
from groovemark.ml.models.boosting.derive import DERIVATIONS
from groovemark.ml.models.boosting.linear import NumberScores
from groovemark.ml.models.boosting.settings import BoostingSettings
from groovemark.ml.models.boosting.tags import TagScores, build_vocabulary, find_words
from groovemark.ml.training.linear import fit_discriminant, fit_logistic

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Scores = TypeVar("Scores")
Floats = NDArray[np.float64]
Matrix = NDArray[np.float32]
Integers = NDArray[np.int64]
SCORE_FOLDS = 10


@dataclass(frozen=True)
class Encoded:
    """A fitted encoding, its vocabulary, and the matrix of the rows it was fitted on, scored out of fold."""

    encoding: Encoding
    vocabulary: Mapping[str, int]
    matrix: Matrix

    def transform(self, table: FeatureTable) -> Matrix:
        """(n, d) matrix of rows that the encoding was not fitted on."""
        return self.encoding.matrix(to_rows(table, self.vocabulary))


def fit_encoding(table: FeatureTable, targets: Integers, labels: int, settings: BoostingSettings) -> Encoded:
    """Fit the scores on all rows; the rows' own matrix takes each row's scores from a fit without it.

    Args:
        targets: (n,) label numbers from 0 to labels - 1.
    """
    numbers = DERIVATIONS[table.spec.name](table)
    parts = [numbers]
    number_scores = tag_scores = None
    vocabulary: dict[str, int] = {}
    if settings.number_scores:

        def fit_numbers(rows: Integers) -> NumberScores:
            return _fit_numbers(numbers[rows], targets[rows], labels, settings.number_shrinkage)

        number_scores, scores = _out_of_fold(fit_numbers, lambda fitted, rows: fitted(numbers[rows]), targets, labels)
        parts.append(scores)
    if settings.tag_scores:
        vocabulary = build_vocabulary(table.texts["tags"])
        words = find_words(table.texts["tags"], vocabulary)

        def fit_tags(rows: Integers) -> TagScores:
            return _fit_tags(words[rows], targets[rows], labels, settings.tag_inverse_penalty)

        tag_scores, scores = _out_of_fold(fit_tags, lambda fitted, rows: fitted(words[rows]), targets, labels)
        parts.append(scores)
    return Encoded(Encoding(number_scores, tag_scores), vocabulary, np.hstack(parts).astype(np.float32))


def _out_of_fold(
    fit: Callable[[Integers], Scores], score: Callable[[Scores, Integers], Floats], targets: Integers, labels: int
) -> tuple[Scores, Floats]:
    from sklearn.model_selection import StratifiedKFold

    everything = np.arange(len(targets))
    rarest = int(np.bincount(targets)[np.unique(targets)].min())
    folds = StratifiedKFold(max(min(SCORE_FOLDS, rarest), 2), shuffle=True, random_state=0)
    scores = np.empty((len(targets), labels))
    for kept, left_out in folds.split(everything, targets):
        scores[left_out] = score(fit(kept), left_out)
    return fit(everything), scores


def _fit_numbers(numbers: Floats, targets: Integers, labels: int, shrinkage: float) -> NumberScores:
    mean, deviation = numbers.mean(axis=0), numbers.std(axis=0) + 1e-9
    weights, bias = fit_discriminant((numbers - mean) / deviation, targets, labels, shrinkage=shrinkage)
    weights /= deviation[:, None]
    return NumberScores(weights=weights, bias=bias - mean @ weights)


def _fit_tags(words: csr_matrix, targets: Integers, labels: int, inverse_penalty: float) -> TagScores:
    documents = np.asarray((words > 0).sum(axis=0)).ravel()
    idf = np.where(documents > 0, np.log((1 + words.shape[0]) / (1 + documents)) + 1, 0.0)
    plain = TagScores(idf=idf, weights=np.zeros((len(idf), 0)), bias=np.zeros(0))
    weights, bias = fit_logistic(plain.weigh(words), targets, labels, inverse_penalty=inverse_penalty)
    return TagScores(idf=idf, weights=weights, bias=bias)
