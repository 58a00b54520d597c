"""GTZAN: 1,000 clips of 30 s, 100 a genre, with the published splits that keep artists apart and faults out."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import InputRejected
from groovemark.ml.datasets.table import Dataset, number_groups, number_labels, read_frame, to_table
from groovemark.ml.features.sets import GTZAN_57

FOLDS = "artist-filtered three folds"
FILTERED = "fault-filtered 443/197/290"


def read_gtzan(root: Path) -> Dataset:
    """The table under the data folder `root`, with both published protocols.

    Artists are not named in the data: `splits` carries them. As a group of its own each clip counts once, exact
    duplicates together; the artist rule is kept by using the published lists.
    """
    folder = root / "gtzan"
    frame = read_frame(folder / "features_30_sec.csv")
    table = to_table(frame, GTZAN_57)
    ids = [track_id(name) for name in frame["filename"]]
    rows = {name: row for row, name in enumerate(ids)}
    labels, targets = number_labels(frame["label"].tolist())
    folds = tuple(
        tuple(_read_list(folder / "splits" / "folds3" / f"f{fold}_{part}.txt", rows) for part in ("train", "test"))
        for fold in (1, 2, 3)
    )
    filtered = tuple(
        _read_list(folder / "splits" / "filtered" / f"{part}.txt", rows) for part in ("train", "test", "valid")
    )
    return Dataset(
        name="gtzan",
        table=table,
        ids=tuple(ids),
        labels=labels,
        targets=targets,
        groups=number_groups([row.tobytes() for row in table.numbers]),
        grouping="clips with equal features; artists are kept apart by the published lists",
        source="GTZAN, 1,000 clips of 30 s, 100 a genre (gtzan/features_30_sec.csv); splits by Foleis & Tavares 2020 "
        "(three folds) and Kereliuk et al. 2015, arXiv 1507.04761 (443/197/290)",
        licence="none stated",
        splits={FOLDS: folds, FILTERED: (filtered,)},
    )


def track_id(name: str) -> str:
    """`blues.00012` for `blues.00012.wav`, `blues.00012.au`, `./blues_00012.wav` and `blues/blues.00012.wav`."""
    genre, number = name.rsplit("/", 1)[-1].replace("_", ".").split(".")[:2]
    return f"{genre}.{number}"


def _read_list(path: Path, rows: dict[str, int]) -> NDArray[np.int64]:
    names = [track_id(line.split()[0]) for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    unknown = [name for name in names if name not in rows]
    if unknown:
        raise InputRejected(f"{path} names {unknown[0]}, which the table does not have")
    return np.array([rows[name] for name in names], dtype=np.int64)
