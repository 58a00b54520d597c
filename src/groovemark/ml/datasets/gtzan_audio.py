"""Real GTZAN audio: 499 segments of 2 to 3 s, and 50 clips of 15 to 30 s, under the published artist filter."""

from __future__ import annotations

from collections.abc import Sequence
from errno import ENOENT
from pathlib import Path
from typing import Protocol

import numpy as np

from groovemark.errors import InputRejected
from groovemark.ml.datasets.audio import read_windows
from groovemark.ml.datasets.gtzan import FILTERED, FOLDS, read_gtzan, track_id
from groovemark.ml.datasets.progress import UNWATCHED, Progress
from groovemark.ml.datasets.table import Dataset, Integers, Report, no_report, number_groups, number_labels
from groovemark.ml.features.spec import FeatureSpec


class AudioReader(Protocol):
    """Reads labelled audio below a data folder, as features of this set."""

    def __call__(
        self, root: Path, spec: FeatureSpec, /, *, report: Report = ..., progress: Progress = ...
    ) -> Dataset: ...


Lists = tuple[tuple[Integers, ...], ...]


def read_gtzan_segments(
    root: Path, spec: FeatureSpec, *, report: Report = no_report, progress: Progress = UNWATCHED
) -> Dataset:
    """One short segment a track."""
    return _read(root, spec, "gtzan-segments", ("segments",), report, progress)


def read_gtzan_audio(
    root: Path, spec: FeatureSpec, *, report: Report = no_report, progress: Progress = UNWATCHED
) -> Dataset:
    """The segments, and every window of the 50 clips; a track that has both has the windows of both."""
    return _read(root, spec, "gtzan-audio", ("segments", "clips"), report, progress)


def _read(
    root: Path, spec: FeatureSpec, name: str, folders: Sequence[str], report: Report, progress: Progress
) -> Dataset:
    """Only tracks that a published list names: of the others no artist is known."""
    table = read_gtzan(root)
    published = {
        protocol: [[{table.ids[row] for row in part} for part in parts] for parts in table.splits[protocol]]
        for protocol in (FOLDS, FILTERED)
    }
    listed = {track for rounds in published.values() for parts in rounds for part in parts for track in part}
    files = [file for folder in folders for file in _files(root / "gtzan" / folder) if track_id(file.name) in listed]
    windows = read_windows(files, spec, report=report, progress=progress)
    ids = [track_id(files[place].name) for place in windows.files]
    labels, targets = number_labels([track.split(".")[0] for track in ids])
    groups = dict(zip(table.ids, table.groups.tolist(), strict=True))
    return Dataset(
        name=name,
        table=windows.table,
        ids=tuple(ids),
        labels=labels,
        targets=targets,
        groups=number_groups([groups[track] for track in ids]),
        grouping="tracks whose 30 s have equal features; artists are kept apart by the published lists",
        source=f"audio of GTZAN (gtzan/{' and gtzan/'.join(folders)}); tracks that no published list names are left "
        "out; splits by Foleis & Tavares 2020 (three folds) and Kereliuk et al. 2015, arXiv 1507.04761 (443/197/290)",
        licence="none stated",
        splits=_splits(ids, targets, published),
        tracks=number_groups(ids),
    )


def _files(folder: Path) -> list[Path]:
    files = sorted(folder.glob("*/*.flac"))
    if not files:
        raise FileNotFoundError(ENOENT, "no audio", str(folder))
    return files


def _splits(ids: Sequence[str], targets: Integers, published: dict[str, list[list[set[str]]]]) -> dict[str, Lists]:
    """The protocols whose every training side has tracks of every label, by row.

    What is left of the three folds is of very unequal size, so that two of them are no inner folds for the third. The
    other split keeps artists apart as well: its parts are, within each training side.
    """
    parts_of_split = published[FILTERED][0]
    inner = {
        FOLDS: [(train - set().union(*parts_of_split), test, *(train & part for part in parts_of_split))
                for train, test in published[FOLDS]],
        FILTERED: [tuple(parts_of_split)],
    }  # fmt: skip
    splits: dict[str, Lists] = {}
    for name, rounds in inner.items():
        lists = tuple(tuple(_rows(ids, part) for part in parts) for parts in rounds)
        if all(_is_usable(targets, *parts) for parts in lists):
            splits[name] = lists
    if not splits:
        raise InputRejected("too few tracks of GTZAN's published lists are here to keep artists apart")
    return splits


def _is_usable(targets: Integers, train: Integers, test: Integers, *held: Integers) -> bool:
    everything = np.concatenate([train, *held])
    return len(test) > 0 and len(np.unique(targets[everything])) == len(np.unique(targets))


def _rows(ids: Sequence[str], tracks: set[str]) -> Integers:
    return np.array([row for row, track in enumerate(ids) if track in tracks], dtype=np.int64)
