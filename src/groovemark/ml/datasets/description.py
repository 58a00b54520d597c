"""What a dataset is, in a few numbers, and a fingerprint that changes with anything a model could learn from."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from typing import Any

import numpy as np

from groovemark.ml.datasets.integrity import check
from groovemark.ml.datasets.joint import JointTable
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.features.tabular import FeatureTable


def describe(dataset: Dataset) -> dict[str, Any]:
    """As JSON holds it. The fingerprint is that of one machine: features of audio differ in their last bits."""
    tables = _tables(dataset.table)
    _, heads = np.unique(dataset.tracks, return_index=True)
    counts = np.bincount(dataset.targets[heads], minlength=len(dataset.labels)).tolist()
    return {
        "dataset": dataset.name,
        "source": dataset.source,
        "licence": dataset.licence,
        "features": {table.spec.name: table.spec.sha256 for table in tables},
        "rows": len(dataset),
        "groups": len(np.unique(dataset.groups)),
        "grouping": dataset.grouping,
        "tracks_by_label": dict(zip(dataset.labels, counts, strict=True)),
        "splits": {name: [[len(part) for part in parts] for parts in rounds] for name, rounds in _splits(dataset)},
        "integrity": asdict(check(dataset)),
        "sha256": _fingerprint(dataset, tables),
    }


def _tables(table: FeatureTable) -> tuple[FeatureTable, ...]:
    return table.members if isinstance(table, JointTable) else (table,)


def _splits(dataset: Dataset) -> Iterable[tuple[str, Any]]:
    return sorted(dataset.splits.items())


def _fingerprint(dataset: Dataset, tables: Iterable[FeatureTable]) -> str:
    known = hashlib.sha256()
    for part in _parts(dataset, tables):
        known.update(len(part).to_bytes(8, "big"))  # so that no two lists of parts read alike
        known.update(part)
    return known.hexdigest()


def _parts(dataset: Dataset, tables: Iterable[FeatureTable]) -> Iterator[bytes]:
    yield from (text.encode() for text in (*dataset.ids, *dataset.labels))
    yield from (array.tobytes() for array in (dataset.targets, dataset.groups, dataset.tracks))
    for name, rounds in _splits(dataset):
        yield name.encode()
        yield from (part.tobytes() for parts in rounds for part in parts)
    for table in tables:
        yield table.spec.sha256.encode()
        yield np.ascontiguousarray(table.numbers).tobytes()
        yield from (cell.encode() for name in sorted(table.texts) for cell in table.texts[name])
