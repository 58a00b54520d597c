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
        out_of_range: tracks with a number outside what the feature set says its column can be.
    """

    tracks: int
    repeated_ids: int
    duplicates: int
    conflicts: int
    constant_columns: int
    out_of_range: int


def check(dataset: Dataset) -> Integrity:
    """Look for repeated ids, duplicates, conflicting labels, empty columns and impossible numbers.

    A track of several windows is a duplicate where all of them are equal.
    """
    alike: dict[tuple[object, ...], list[int]] = defaultdict(list)
    texts = [dataset.table.texts[name] for name in dataset.table.spec.text_names]
    _, firsts, places = np.unique(dataset.tracks, return_index=True, return_inverse=True)
    for first, rows in zip(firsts.tolist(), rows_of_each(places), strict=True):
        cells_of_row = (tuple(cells[row] for row in rows) for cells in texts)
        alike[dataset.table.numbers[rows].tobytes(), *cells_of_row].append(first)
    families = [rows for rows in alike.values() if len(rows) > 1]
    return Integrity(
        tracks=dataset.n_tracks,
        repeated_ids=dataset.n_tracks - len({dataset.ids[first] for first in firsts}),
        duplicates=sum(len(rows) - 1 for rows in families),
        conflicts=sum(len(rows) for rows in families if len(set(dataset.targets[rows].tolist())) > 1),
        constant_columns=int((np.ptp(dataset.table.numbers, axis=0) == 0).sum()),
        out_of_range=len(np.unique(dataset.tracks[_impossible(dataset).any(axis=1)])),
    )


def out_of_range(dataset: Dataset) -> dict[str, int]:
    """How many tracks have a number outside a column's range, by column; only columns where there are some."""
    impossible = _impossible(dataset)
    names = dataset.table.spec.numeric_names
    return {
        names[place]: len(np.unique(dataset.tracks[impossible[:, place]]))
        for place in np.flatnonzero(impossible.any(axis=0))
    }


def _impossible(dataset: Dataset) -> NDArray[np.bool_]:
    """(n, column) whether a number is below its column's minimum or above its maximum; tensors have no ranges."""
    columns = [column for column in dataset.table.spec.columns if column.kind != "text"]
    lowest = np.array([-np.inf if column.minimum is None else column.minimum for column in columns])
    highest = np.array([np.inf if column.maximum is None else column.maximum for column in columns])
    numbers = dataset.table.numbers[:, : len(columns)]
    return np.asarray((numbers < lowest) | (numbers > highest))


def rows_of_each(places: NDArray[np.int64]) -> list[NDArray[np.int64]]:
    """Row numbers by the number that stands in each row: 0, 1, 2, …"""
    order = np.argsort(places, kind="stable")
    return np.split(order, np.cumsum(np.bincount(places))[:-1])
