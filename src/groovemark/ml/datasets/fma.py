"""4,000 clips of the Free Music Archive, 500 a genre, as 42 means."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.table import Dataset, number_groups, number_labels, read_frame, to_table
from groovemark.ml.features.sets import FMA_42

NEIGHBOUR_DISTANCE = 20
"""Tracks of one album were uploaded together: ids closer than this count as one group."""


def read_fma(root: Path) -> Dataset:
    """The table under the data folder `root`.

    The table names no artists. Ids were given in the order of upload, album by album, so runs of neighbouring ids
    stand in for artists; clips with equal features join the run of the first of them.
    """
    frame = read_frame(root / "fma" / "features_train4000.csv")
    table = to_table(frame, FMA_42)
    labels, targets = number_labels(frame["genre"].tolist())
    return Dataset(
        name="fma",
        table=table,
        ids=tuple(f"{number:06d}" for number in frame["track_id"]),
        labels=labels,
        targets=targets,
        groups=_merge_equal(table.numbers, neighbours(frame["track_id"].to_numpy())),
        grouping=f"runs of track ids less than {NEIGHBOUR_DISTANCE} apart, which were uploaded together (an album, "
        "an artist); the table names no artists",
        source="4,000 clips of the Free Music Archive, 500 a genre (fma/features_train4000.csv)",
        licence="FMA metadata and features CC BY 4.0; the audio has its own Creative Commons licences",
    )


def neighbours(ids: NDArray[np.int64]) -> NDArray[np.int64]:
    """(n,) number of the run of neighbouring ids that each id belongs to."""
    order = np.argsort(ids, kind="stable")
    starts = np.diff(ids[order], prepend=ids[order][:1]) >= NEIGHBOUR_DISTANCE
    groups = np.empty(len(ids), dtype=np.int64)
    groups[order] = np.cumsum(starts)
    return groups


def _merge_equal(numbers: NDArray[np.float64], groups: NDArray[np.int64]) -> NDArray[np.int64]:
    merged = groups.copy()
    first: dict[bytes, int] = {}
    for row, key in enumerate(number.tobytes() for number in numbers):
        if key in first:
            merged[merged == merged[row]] = merged[first[key]]
        else:
            first[key] = row
    return number_groups(merged.tolist())
