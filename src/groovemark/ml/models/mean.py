"""A model that is the mean of several fits, whatever these are."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, in_blocks, require_features

Rows = TypeVar("Rows")
Taken = TypeVar("Taken", contravariant=True)


class Member(Protocol[Taken]):
    """One fit."""

    def probabilities(self, rows: Taken, /) -> NDArray[np.float64]:
        """(n, k) of n rows."""
        ...


class MeanClassifier(Generic[Rows]):
    """A `Classifier`: the mean of its members' probabilities.

    Args:
        to_rows: a table as the members take it, which is made once for all of them.
        threads: how many cores one `run` may use.
    """

    def __init__(
        self,
        spec: ModelSpec,
        members: Sequence[Member[Rows]],
        to_rows: Callable[[FeatureTable], Rows],
        *,
        threads: int = 1,
    ) -> None:
        self._spec = spec
        self._members = tuple(members)
        self._to_rows = to_rows
        self._threads = threads

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of the n rows. Raises ModelRejected for rows of another feature set."""
        require_features(self._spec, batch)
        return in_blocks(batch, len(self._spec.labels), self._run_block, threads=self._threads)

    def close(self) -> None:
        """Forget the members."""
        self._members = ()

    def _run_block(self, block: FeatureTable) -> NDArray[np.float64]:
        rows = self._to_rows(block)
        total = np.zeros((len(block), len(self._spec.labels)))
        for member in self._members:
            total += member.probabilities(rows)
        return np.asarray(total / total.sum(axis=1, keepdims=True))
