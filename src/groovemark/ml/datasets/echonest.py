"""450 labelled tracks of the Million Song Dataset: Echo Nest numbers, a 148-number vector and lyric words as tags."""

from __future__ import annotations

from pathlib import Path

from groovemark.ml.datasets.table import Dataset, number_groups, number_labels, read_frame, to_table
from groovemark.ml.features.sets import ECHONEST_155


def read_echonest(root: Path) -> Dataset:
    """The table under the data folder `root`; tracks with the same words (one song twice) form a group."""
    frame = read_frame(root / "echonest" / "valid450_labelled.csv")
    labels, targets = number_labels(frame["genre"].tolist())
    words = [tuple(sorted(set(tags.lower().replace(",", " ").split()))) for tags in frame["tags"]]
    return Dataset(
        name="echonest",
        table=to_table(frame, ECHONEST_155),
        ids=tuple(frame["trackID"].astype(str)),
        labels=labels,
        targets=targets,
        groups=number_groups(words),
        grouping="tracks with exactly the same words; the table names no artists",
        source="450 tracks of the Million Song Dataset with genre labels (echonest/valid450_labelled.csv)",
        licence="none stated",
    )
