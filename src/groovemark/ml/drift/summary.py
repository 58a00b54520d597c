"""Per-feature summaries of a batch's input, kept so that drift can compare them with the training data's."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.described import described_names, described_numbers
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

QUANTILES = tuple(step / 10 for step in range(11))
SAMPLE_ROWS = 4096
_SEED = 42


class InputSummary:
    """Grows block by block in constant memory; of tensors it keeps what `features.described` says of them.

    Mean and standard deviation are exact (Chan et al. 1983, merging of moments); the quantiles come from a uniform
    sample of at most SAMPLE_ROWS rows, drawn with a fixed seed.

    Args:
        sample_share: of the rows, that may come into the sample; the parts of something large need only small ones.
        seed: parts of one thing that are added up later need different ones.
    """

    def __init__(
        self, spec: FeatureSpec, labels: tuple[str, ...], *, sample_share: float = 1.0, seed: int = _SEED
    ) -> None:
        self._names, self._labels = described_names(spec), labels
        width = len(self._names)
        self._rows = 0
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)
        self._label_counts = np.zeros(len(labels), dtype=np.int64)
        self._sample = np.empty((0, width))
        self._keys = np.empty(0)
        self._random = np.random.default_rng(seed)
        self._sample_share = sample_share

    def add(self, table: FeatureTable, predicted: NDArray[np.int64]) -> None:
        """Take in n rows and the index of each one's label, (n,)."""
        count = len(table)
        if not count:
            return
        numbers = described_numbers(table)
        self._merge(count, numbers.mean(axis=0), numbers.var(axis=0) * count)
        self._label_counts += np.bincount(predicted, minlength=len(self._labels))
        keys = self._random.random(count)
        chosen = keys < self._sample_share
        self._keep_sample(keys[chosen], numbers[chosen])

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Take in what another one summed up of the same features and labels."""
        if not state["rows"]:
            return
        self._merge(state["rows"], np.array(state["mean"]), np.array(state["squares"]))
        self._label_counts += np.array(state["labels"])
        sample = np.array(state["sample"]).reshape(-1, len(self._names))
        self._keep_sample(np.array(state["keys"]), sample)

    def state(self) -> dict[str, Any]:
        """All of it, for `add_state` of another one."""
        return {
            "rows": self._rows,
            "mean": self._mean.tolist(),
            "squares": self._squares.tolist(),
            "labels": self._label_counts.tolist(),
            "keys": self._keys.tolist(),
            "sample": self._sample.tolist(),
        }

    def _merge(self, count: int, mean: NDArray[np.float64], squares: NDArray[np.float64]) -> None:
        """Rows, their mean, and the sum of their squared deviations from it."""
        shift = mean - self._mean
        total = self._rows + count
        self._squares += squares + shift**2 * self._rows * count / total
        self._mean += shift * count / total
        self._rows = total

    def _keep_sample(self, keys: NDArray[np.float64], numbers: NDArray[np.float64]) -> None:
        """Every row has drawn a key; the rows with the smallest keys are the sample."""
        if len(self._keys) == SAMPLE_ROWS:
            chosen = keys < self._keys.max()
            keys, numbers = keys[chosen], numbers[chosen]
        keys = np.concatenate([self._keys, keys])
        rows = np.concatenate([self._sample, numbers])
        if len(keys) > SAMPLE_ROWS:
            smallest = np.argpartition(keys, SAMPLE_ROWS)[:SAMPLE_ROWS]
            keys, rows = keys[smallest], rows[smallest]
        self._keys, self._sample = keys, rows

    def as_dict(self) -> dict[str, Any]:
        """rows, features (name -> mean, std, 11 quantiles) and labels (name -> count)."""
        if not self._rows:
            return {"rows": 0, "features": {}, "labels": {}}
        deviation = np.sqrt(self._squares / self._rows)
        quantiles = np.quantile(self._sample, QUANTILES, axis=0).T
        return {
            "rows": self._rows,
            "features": {
                name: {"mean": float(mean), "std": float(std), "quantiles": [float(value) for value in row]}
                for name, mean, std, row in zip(self._names, self._mean, deviation, quantiles, strict=True)
            },
            "labels": dict(zip(self._labels, self._label_counts.tolist(), strict=True)),
        }
