"""The seam every model stands behind."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Who a loaded model is and what it takes and answers."""

    name: str
    version: str
    family: str
    task: str
    features: FeatureSpec
    labels: tuple[str, ...]

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"


class Model(Protocol[In, Out]):
    """One loaded model. `run` is pure: no I/O, no database, no settings."""

    @property
    def spec(self) -> ModelSpec: ...
    def run(self, batch: In, /) -> Out: ...
    def close(self) -> None: ...


Classifier = Model[FeatureTable, NDArray[np.float32]]
"""Takes n rows of its FeatureSpec; answers (n, len(labels)) probabilities, each row summing to 1.

Raises ModelRejected when the table's spec is not the model's own.
"""
