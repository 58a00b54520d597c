"""Several datasets of the same tracks as one, whose rows are the tracks: what an ensemble is trained on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets.table import Dataset, Integers
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable


@dataclass(frozen=True)
class JointTable(FeatureTable):
    """n tracks, each with its rows in the table of every member; as a table by itself, the first one's first windows.

    Attributes:
        members: a table for each member of the ensemble.
        owners: for each of them, (rows of it,) the number of the track in this table that each row is of.
    """

    members: tuple[FeatureTable, ...] = ()
    owners: tuple[Integers, ...] = ()

    @property
    def other_specs(self) -> tuple[FeatureSpec, ...]:
        sets = {table.spec.name: table.spec for table in self.members if table.spec.name != self.spec.name}
        return tuple(sets.values())

    def take(self, rows: Integers) -> JointTable:
        base = super().take(rows)
        places = np.full(len(self), -1, dtype=np.int64)
        places[rows] = np.arange(len(rows))
        kept = [np.flatnonzero(places[owners] >= 0) for owners in self.owners]
        return JointTable(
            base.spec,
            base.numbers,
            base.texts,
            members=tuple(table.take(own) for table, own in zip(self.members, kept, strict=True)),
            owners=tuple(places[owners[own]] for owners, own in zip(self.owners, kept, strict=True)),
        )


def join(datasets: Sequence[Dataset], name: str) -> Dataset:
    """The tracks, by id, that are in all of the datasets, in the order of the first.

    Published splits are those of the first; tracks that share a group in any of the datasets share one here.

    Raises ConfigurationError when the datasets have no tracks in common, or not the same labels.
    """
    first = datasets[0]
    common = set(first.ids).intersection(*(dataset.ids for dataset in datasets[1:]))
    ids = [track for track in dict.fromkeys(first.ids) if track in common]
    if not ids:
        raise ConfigurationError(f"the datasets of {name}'s members have no track in common")
    numbers = {track: number for number, track in enumerate(ids)}
    owners = [np.array([numbers.get(track, -1) for track in dataset.ids], dtype=np.int64) for dataset in datasets]
    heads = [_heads(own, len(ids)) for own in owners]
    if any(dataset.labels != first.labels for dataset in datasets):
        raise ConfigurationError(f"the datasets of {name}'s members do not have the same labels")
    targets = first.targets[heads[0]]
    if any((dataset.targets[head] != targets).any() for dataset, head in zip(datasets, heads, strict=True)):
        raise ConfigurationError(f"the datasets of {name}'s members label the same track differently")
    base = first.table.take(heads[0])
    kept = [np.flatnonzero(own >= 0) for own in owners]
    return Dataset(
        name=name,
        table=JointTable(
            base.spec,
            base.numbers,
            base.texts,
            members=tuple(dataset.table.take(rows) for dataset, rows in zip(datasets, kept, strict=True)),
            owners=tuple(own[rows] for own, rows in zip(owners, kept, strict=True)),
        ),
        ids=tuple(ids),
        labels=first.labels,
        targets=targets,
        groups=merged_groups([dataset.groups[head] for dataset, head in zip(datasets, heads, strict=True)]),
        grouping="; ".join(dict.fromkeys(dataset.grouping for dataset in datasets)),
        source="; ".join(dict.fromkeys(dataset.source for dataset in datasets)),
        licence="; ".join(dict.fromkeys(dataset.licence for dataset in datasets)),
        splits={
            protocol: tuple(tuple(_of_tracks(owners[0], rows) for rows in parts) for parts in rounds)
            for protocol, rounds in first.splits.items()
        },
    )


def _heads(owners: Integers, tracks: int) -> Integers:
    """(tracks,) the first row of each track."""
    known, first = np.unique(owners, return_index=True)
    return first[known >= 0][:tracks].astype(np.int64)


def _of_tracks(owners: Integers, rows: Integers) -> Integers:
    tracks = np.unique(owners[rows])
    return tracks[tracks >= 0]


def merged_groups(groupings: Sequence[Integers]) -> Integers:
    """(n,) tracks that are together in one of the groupings are together."""
    merged = groupings[0].copy()
    for groups in groupings[1:]:
        for group in np.unique(groups):
            together = np.unique(merged[groups == group])
            merged[np.isin(merged, together)] = together[0]
    return merged
