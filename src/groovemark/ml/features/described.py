"""The few numbers that stand for a row where rows are compared in bulk: its columns, or statistics of its tensor."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

BANDS_MAX = 16
"""Neighbouring bands of a tensor are taken together to so many: a summary is kept for every batch."""


def described_names(spec: FeatureSpec) -> tuple[str, ...]:
    """The numeric columns; of a tensor, mean and standard deviation of each of its bands."""
    if not spec.shape:
        return spec.numeric_names
    bands = min(spec.shape[-1], BANDS_MAX)
    return tuple(f"band_{number}_{name}" for number in range(1, bands + 1) for name in ("mean", "std"))


def described_numbers(table: FeatureTable) -> NDArray[np.float64]:
    """(n, len(described_names(table.spec))).

    The last axis of a tensor holds its bands (of frequency, or of cepstrum; of samples, of time), which are cut into
    at most BANDS_MAX neighbourhoods of nearly equal size; mean and deviation are those of all the numbers of one.
    """
    if not table.spec.shape:
        return table.numbers
    bands = np.array_split(table.tensors, min(table.spec.shape[-1], BANDS_MAX), axis=-1)
    columns = [_statistic(band) for band in bands]
    return np.concatenate(columns, axis=1)


def _statistic(band: NDArray[Any]) -> NDArray[np.float64]:
    """(n, …) → (n, 2)."""
    flat = band.reshape(len(band), -1)
    return np.stack([flat.mean(axis=1, dtype=np.float64), flat.std(axis=1, dtype=np.float64)], axis=1)
