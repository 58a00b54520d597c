"""Per-feature summaries of a batch's input, kept so that drift can compare them with the training data's."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

QUANTILES = tuple(step / 10 for step in range(11))
SAMPLE_ROWS = 4096
_SEED = 42


class InputSummary:
    """Grows block by block in constant memory.

    Mean and standard deviation are exact (Chan et al. 1983, merging of moments); the quantiles come from a uniform
    sample of at most SAMPLE_ROWS rows, drawn with a fixed seed.
    """

    def __init__(self, spec: FeatureSpec, labels: tuple[str, ...]) -> None:
        self._names, self._labels = spec.numeric_names, labels
        width = len(self._names)
        self._rows = 0
        self._mean = np.zeros(width)
        self._squares = np.zeros(width)
        self._label_counts = np.zeros(len(labels), dtype=np.int64)
        self._sample = np.empty((0, width))
        self._keys = np.empty(0)
        self._random = np.random.default_rng(_SEED)

    def add(self, table: FeatureTable, predicted: NDArray[np.int64]) -> None:
        """Take in n rows and the index of each one's label, (n,)."""
        count = len(table)
        if not count:
            return
        mean = table.numbers.mean(axis=0)
        shift = mean - self._mean
        total = self._rows + count
        self._squares += table.numbers.var(axis=0) * count + shift**2 * self._rows * count / total
        self._mean += shift * count / total
        self._rows = total
        self._label_counts += np.bincount(predicted, minlength=len(self._labels))
        self._keep_sample(table.numbers)

    def _keep_sample(self, numbers: NDArray[np.float64]) -> None:
        """Every row draws a key; the rows with the smallest keys are the sample."""
        keys = self._random.random(len(numbers))
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
