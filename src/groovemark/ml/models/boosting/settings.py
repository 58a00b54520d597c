"""What can be chosen about a boosted model, and the range in which a search may look."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groovemark.ml.models.changing import with_changes

ENCODING_SETTINGS = frozenset({"number_scores", "number_shrinkage", "tag_scores", "tag_inverse_penalty"})
"""Those that change what the trees see."""


@dataclass(frozen=True, slots=True)
class BoostingSettings:
    """Settings of one member.

    Attributes:
        rounds_max: boosting stops at the best round of the inner folds, at the latest here.
        leaves, leaf_rows, l2: size and smoothness of a tree.
        column_share, row_share: what each tree sees.
        random_splits: draw one threshold a column instead of trying all (extremely randomised trees).
        number_scores, tag_scores: give the trees linear scores of the numbers and of the tags as well.
        number_shrinkage: of the covariance under number_scores, from 0 to 1.
        tag_inverse_penalty: of the logistic regression under tag_scores.
    """

    learning_rate: float = 0.06
    rounds_max: int = 400
    leaves: int = 8
    leaf_rows: int = 8
    column_share: float = 0.3
    row_share: float = 0.8
    l2: float = 2.0
    bins: int = 255
    random_splits: bool = True
    number_scores: bool = False
    number_shrinkage: float = 0.2
    tag_scores: bool = False
    tag_inverse_penalty: float = 5.0

    def library_parameters(self, labels: int, seed: int) -> dict[str, Any]:
        """The same in LightGBM's words, with everything random pinned to the seed."""
        return {
            "objective": "multiclass",
            "num_class": labels,
            "learning_rate": self.learning_rate,
            "num_leaves": self.leaves,
            "min_child_samples": self.leaf_rows,
            "colsample_bytree": self.column_share,
            "subsample": self.row_share,
            "subsample_freq": 1,
            "reg_lambda": self.l2,
            "max_bin": self.bins,
            "extra_trees": self.random_splits,
            "seed": seed,
            "deterministic": True,
            "force_col_wise": True,
            "num_threads": 1,
            "verbose": -1,
        }

    def changed(self, values: Mapping[str, object]) -> BoostingSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist."""
        return with_changes("boosting", self, values)
