"""Rows of features as models take them."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.spec import FeatureSpec


@dataclass(frozen=True)
class FeatureTable:
    """n rows of one FeatureSpec; of a set of tensors, or of columns computed from audio, a row is one window.

    Attributes:
        spec: whose columns, or whose tensor, these are.
        numbers: (n, len(spec.numeric_names)) float64, finite, in the spec's order; of a set of tensors
            (n, product of spec.shape) float32.
        texts: for every text column of the spec, its n cells; besides, under spec.TITLE, the titles of rows that must
            have one. Models that read titles take a table without them for one of empty titles.
    """

    spec: FeatureSpec
    numbers: NDArray[Any]
    texts: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        expected = row_length(self.spec)
        if self.numbers.ndim != 2 or self.numbers.shape[1] != expected:
            raise ValueError(f"{self.spec.name} has {expected} numbers a row, got {self.numbers.shape}")

    @classmethod
    def of_windows(cls, spec: FeatureSpec, windows: NDArray[Any]) -> FeatureTable:
        """The table of what was extracted from audio, (n, …) a window, in the type that models of the spec take."""
        numbers = windows.reshape(len(windows), row_length(spec))
        return cls(spec, numbers.astype(np.float32 if spec.shape else np.float64, copy=False))

    def take(self, rows: NDArray[np.int64]) -> FeatureTable:
        """The rows with these numbers, in this order."""
        texts = {name: [cells[row] for row in rows] for name, cells in self.texts.items()}
        return FeatureTable(self.spec, self.numbers[rows], texts)

    @property
    def other_specs(self) -> tuple[FeatureSpec, ...]:
        """Sets that the rows have besides, where they are tracks and not rows of one set alone."""
        return ()

    def __len__(self) -> int:
        return len(self.numbers)

    @property
    def tensors(self) -> NDArray[np.float32]:
        """(n, *spec.shape) of a set of tensors. Raises ValueError where the spec has columns."""
        if not self.spec.shape:
            raise ValueError(f"{self.spec.name} has columns, not tensors")
        return self.numbers.reshape(len(self), *self.spec.shape)

    def column(self, name: str) -> NDArray[np.float64]:
        """(n,) of one numeric column."""
        return self.numbers[:, self.spec.numeric_names.index(name)]


def row_length(spec: FeatureSpec) -> int:
    """How many numbers a row has."""
    return math.prod(spec.shape) if spec.shape else len(spec.numeric_names)
