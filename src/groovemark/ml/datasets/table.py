"""A labelled table of features, ready for training."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import InputRejected
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Dataset:
    """n labelled rows: tracks, or windows of tracks.

    Attributes:
        ids: (n,) as the source names the row's track.
        labels: sorted; targets are (n,) numbers of labels.
        groups: (n,) tracks of one group never stand on both sides of a split.
        grouping: what a group is, in words.
        splits: published (train, test) row lists by protocol, for data that comes with them; a third list, where
            there is one, is for choosing settings.
        tracks: (n,) number of the track that each row is of; left out, every row is a track of its own.
    """

    name: str
    table: FeatureTable
    ids: tuple[str, ...]
    labels: tuple[str, ...]
    targets: Integers
    groups: Integers
    grouping: str
    source: str
    licence: str
    splits: Mapping[str, tuple[tuple[Integers, ...], ...]] = field(default_factory=dict)
    tracks: Integers = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    def __post_init__(self) -> None:
        if not len(self.tracks):
            object.__setattr__(self, "tracks", np.arange(len(self.table), dtype=np.int64))
        for what, values in (("label", self.targets), ("group", self.groups)):
            pairs = {(track, value) for track, value in zip(self.tracks.tolist(), values.tolist(), strict=True)}
            if len(pairs) > self.n_tracks:
                raise ValueError(f"{self.name}: the windows of a track must have one {what}")

    def __len__(self) -> int:
        return len(self.table)

    @cached_property
    def n_tracks(self) -> int:
        return len(np.unique(self.tracks))

    def take(self, rows: Integers) -> Dataset:
        """The dataset of some of the rows, without published splits."""
        return Dataset(
            name=self.name,
            table=self.table.take(rows),
            ids=tuple(self.ids[row] for row in rows),
            labels=self.labels,
            targets=self.targets[rows],
            groups=self.groups[rows],
            grouping=self.grouping,
            source=self.source,
            licence=self.licence,
            tracks=self.tracks[rows],
        )


Reader = Callable[[Path], Dataset]
Report = Callable[[str], None]
"""Is told about progress, a line at a time."""


def no_report(_: str) -> None:
    """For those who want none."""


def read_frame(path: Path) -> Any:
    """The CSV as a pandas DataFrame in which only an empty cell is missing, and none may be."""
    import pandas as pd

    frame = pd.read_csv(path, keep_default_na=False, na_values=[""])
    missing = frame.columns[frame.isna().any()]
    if len(missing):
        raise InputRejected(f"{path} has empty cells in the column {missing[0]}")
    return frame


def to_table(frame: Any, spec: FeatureSpec) -> FeatureTable:
    """The columns of `spec` out of a DataFrame. Raises InputRejected when one is missing or not finite."""
    missing = [column.name for column in spec.columns if column.name not in frame.columns]
    if missing:
        raise InputRejected(f"the training table lacks the column {missing[0]} of {spec.name}")
    numbers = frame[list(spec.numeric_names)].to_numpy(dtype=np.float64)
    if not np.isfinite(numbers).all():
        raise InputRejected(f"the training table holds numbers that are not finite ({spec.name})")
    return FeatureTable(spec, numbers, {name: frame[name].tolist() for name in spec.text_names})


def number_labels(names: list[str]) -> tuple[tuple[str, ...], Integers]:
    """The labels in sorted order, and the number of each row's label."""
    labels, targets = np.unique(np.array(names), return_inverse=True)
    return tuple(str(label) for label in labels), targets.astype(np.int64)


def number_groups(keys: list[Any]) -> Integers:
    """(n,) equal keys get equal numbers, in order of appearance."""
    numbers: dict[Any, int] = {}
    return np.array([numbers.setdefault(key, len(numbers)) for key in keys], dtype=np.int64)
