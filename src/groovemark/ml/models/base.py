"""The seam every model stands behind."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

In = TypeVar("In", contravariant=True)
Out = TypeVar("Out", covariant=True)


@dataclass(frozen=True, slots=True)
class ModelSpec:
    """Who a loaded model is and what it takes and answers.

    Attributes:
        is_multi_label: whether each label has a probability of its own (tags); otherwise a row has one label, and its
            probabilities sum to 1.
        other_features: sets that a track's answer needs besides; a model that has some answers for audio alone.
    """

    name: str
    version: str
    family: str
    task: str
    features: FeatureSpec
    labels: tuple[str, ...]
    is_multi_label: bool = False
    other_features: tuple[FeatureSpec, ...] = ()

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
"""Takes n rows of its FeatureSpec; answers (n, len(labels)) probabilities, each row summing to 1 unless the model is
multi-label.

Raises ModelRejected when the table's spec is not the model's own.
"""


@runtime_checkable
class Composite(Protocol):
    """A classifier made of others: a track's answer is made of the weighted mean of theirs for the track."""

    @property
    def members(self) -> Sequence[tuple[Classifier, float]]:
        """Each with its weight; the weights sum to 1."""

    def of_means(self, means: NDArray[np.float64], /) -> NDArray[np.float64]:
        """(n, k) weighted means of the members' answers → (n, k) answers."""


BLOCK_ROWS = 4_000
"""Rows worked on at a time, few enough for the processor's cache."""


def require_features(spec: ModelSpec, batch: FeatureTable) -> None:
    """Raises ModelRejected for rows of another feature set than the model's own."""
    if batch.spec.sha256 != spec.features.sha256:
        raise ModelRejected(f"{spec.full_name} takes {spec.features.name}, these rows are {batch.spec.name}")


def in_blocks(
    batch: FeatureTable, labels: int, answer_block: Callable[[FeatureTable], NDArray[np.float64]], *, threads: int
) -> NDArray[np.float32]:
    """(n, labels) of a table of columns, `BLOCK_ROWS` at a time, on so many threads."""
    answers = np.empty((len(batch), labels), dtype=np.float32)

    def fill(start: int) -> None:
        block = slice(start, start + BLOCK_ROWS)
        texts = {name: cells[block] for name, cells in batch.texts.items()}
        answers[block] = answer_block(FeatureTable(batch.spec, np.ascontiguousarray(batch.numbers[block]), texts))

    starts = range(0, len(batch), BLOCK_ROWS)
    threads = min(threads, len(starts))
    if threads > 1:
        with ThreadPoolExecutor(threads) as executor:
            list(executor.map(fill, starts))
    else:
        for start in starts:
            fill(start)
    return answers
