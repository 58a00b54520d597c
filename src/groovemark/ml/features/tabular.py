"""Rows of features as models take them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.spec import FeatureSpec


@dataclass(frozen=True)
class FeatureTable:
    """n rows of one FeatureSpec.

    Attributes:
        spec: whose columns these are.
        numbers: (n, len(spec.numeric_names)) float64, finite, in the spec's order.
        texts: for every text column of the spec, its n cells.
    """

    spec: FeatureSpec
    numbers: NDArray[np.float64]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if self.numbers.ndim != 2 or self.numbers.shape[1] != len(self.spec.numeric_names):
            expected = len(self.spec.numeric_names)
            raise ValueError(f"{self.spec.name} has {expected} numeric columns, got {self.numbers.shape}")

    def __len__(self) -> int:
        return len(self.numbers)

    def column(self, name: str) -> NDArray[np.float64]:
        """(n,) of one numeric column."""
        return self.numbers[:, self.spec.numeric_names.index(name)]
