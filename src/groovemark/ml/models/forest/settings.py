"""What can be chosen about a forest, and in scikit-learn's words."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from groovemark.ml.models.changing import with_changes


@dataclass(frozen=True, slots=True)
class ForestSettings:
    """Settings of one member.

    Attributes:
        trees: of each seed.
        depth: the longest path to a leaf; 0 for no limit.
        split_rows, leaf_rows: the fewest rows that are split, and that a leaf keeps.
        column_share: of the columns that each split looks at; 0 for their square root.
        bootstrap: grow each tree on rows drawn with replacement instead of on all of them.
        class_weights: let every label weigh the same, however few rows it has.
        calibrated: sharpen or soften the answers by the temperature that suits the inner folds best.
    """

    trees: int = 300
    depth: int = 0
    split_rows: int = 2
    leaf_rows: int = 1
    column_share: float = 0.0
    bootstrap: bool = True
    class_weights: bool = True
    calibrated: bool = False

    def library_parameters(self, seed: int) -> dict[str, Any]:
        """The same for RandomForestClassifier, with everything random pinned to the seed."""
        return {
            "n_estimators": self.trees,
            "max_depth": self.depth or None,
            "min_samples_split": self.split_rows,
            "min_samples_leaf": self.leaf_rows,
            "max_features": self.column_share or "sqrt",
            "bootstrap": self.bootstrap,
            "class_weight": "balanced" if self.class_weights else None,
            "random_state": seed,
            "n_jobs": 1,
        }

    def changed(self, values: Mapping[str, object]) -> ForestSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist."""
        return with_changes("forest", self, values)
