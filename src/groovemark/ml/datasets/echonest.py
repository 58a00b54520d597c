"""450 labelled tracks of the Million Song Dataset: Echo Nest numbers, a 148-number vector and lyric words as tags."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from groovemark.ml.datasets.joint import merged_groups
from groovemark.ml.datasets.table import Dataset, number_groups, number_labels, read_frame, to_table
from groovemark.ml.features.sets import ECHONEST_155
from groovemark.ml.features.spec import TITLE
from groovemark.ml.features.tabular import FeatureTable

_NOT_OF_THE_SONG = re.compile(r"\(.*?\)|[^\w ]")
"""In a title: what stands in parentheses, such as (Live), and signs."""


def read_echonest(root: Path) -> Dataset:
    """The table under the data folder `root`; tracks with the same words (one song twice) form a group."""
    return _dataset(_frame(root))


def read_echonest_titled(root: Path) -> Dataset:
    """The same tracks with their titles; tracks that have the same title form a group, too."""
    frame = _frame(root)
    dataset = _dataset(frame)
    titles = [str(title) for title in frame["title"]]
    songs = [" ".join(_NOT_OF_THE_SONG.sub("", title.lower()).split()) or title for title in titles]
    table = dataset.table
    return replace(
        dataset,
        name="echonest-titled",
        table=FeatureTable(table.spec, table.numbers, {**table.texts, TITLE: titles}),
        groups=merged_groups([dataset.groups, number_groups(songs)]),
        grouping=(
            "tracks with exactly the same words, or with the same title but for what stands in parentheses; the table "
            "names no artists"
        ),
    )


def _frame(root: Path) -> Any:
    return read_frame(root / "echonest" / "valid450_labelled.csv")


def _dataset(frame: Any) -> Dataset:
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
