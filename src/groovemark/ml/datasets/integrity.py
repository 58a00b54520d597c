"""What is wrong with a dataset before anything is learned from it."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.table import Dataset


@dataclass(frozen=True, slots=True)
class Integrity:
    """Findings, in tracks.

    Attributes:
        repeated_ids: tracks whose id stood before.
        duplicates: tracks whose features are exactly those of an earlier one.
        conflicts: tracks among equal features that do not all have the same label.
        constant_columns: numeric columns with one value only.
    """

    tracks: int
    repeated_ids: int
    duplicates: int
    conflicts: int
    constant_columns: int


def check(dataset: Dataset) -> Integrity:
    """Look for repeated ids, duplicates, conflicting labels and empty columns."""
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    texts = list(dataset.table.texts.values())
    for row, numbers in enumerate(dataset.table.numbers):
        alike[numbers.tobytes(), *(cells[row] for cells in texts)].append(row)
    families = [rows for rows in alike.values() if len(rows) > 1]
    return Integrity(
        tracks=len(dataset),
        repeated_ids=len(dataset) - len(set(dataset.ids)),
        duplicates=sum(len(rows) - 1 for rows in families),
        conflicts=sum(len(rows) for rows in families if len(set(dataset.targets[rows].tolist())) > 1),
        constant_columns=int((np.ptp(dataset.table.numbers, axis=0) == 0).sum()),
    )


def first_of_each(dataset: Dataset) -> NDArray[np.int64]:
    """Row numbers without exact duplicates of an earlier row's features."""
    _, first = np.unique(dataset.table.numbers, axis=0, return_index=True)
    return np.sort(first).astype(np.int64)
