"""Which rows train and which rows score: the rounds of an honest evaluation, and of a careless one beside it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.splits import Split, grouped_folds, inner_folds, random_folds, require_no_overlap
from groovemark.ml.training.config import ProtocolConfig

Integers = NDArray[np.int64]


@dataclass(frozen=True)
class Round:
    """One training side, one scoring side, and the inner folds (row numbers within `train`)."""

    train: Integers
    test: Integers
    inner: list[Split]


def protocol_names(dataset: Dataset, config: ProtocolConfig) -> list[str]:
    """Names of the honest protocols, the headline first."""
    return list(dataset.splits) or [f"grouped {config.folds}-fold"]


def count_rounds(dataset: Dataset, config: ProtocolConfig, name: str) -> int:
    """How many rounds the honest protocol `name` has."""
    return len(dataset.splits[name]) if name in dataset.splits else config.folds


def honest_rounds(dataset: Dataset, config: ProtocolConfig, name: str, seed: int) -> Iterator[Round]:
    """The rounds of a protocol that keeps groups apart; published splits where the data has them."""
    if name not in dataset.splits:
        for train, test in grouped_folds(dataset.targets, dataset.groups, config.folds, seed):
            inner = grouped_folds(dataset.targets[train], dataset.groups[train], config.inner_folds, seed)
            yield Round(train, test, inner)
        return
    published = dataset.splits[name]
    for train, test, *held in published:
        everything = np.concatenate([train, *held])
        parts = list(held) or [other for _, other, *_ in published if other is not test]
        require_no_overlap(dataset.groups, everything, test)
        yield Round(everything, test, inner_folds(everything, parts))


def careless_rounds(dataset: Dataset, config: ProtocolConfig, seed: int) -> Iterator[Round]:
    """Rows drawn at random, duplicates and groups on both sides."""
    folds = count_rounds(dataset, config, protocol_names(dataset, config)[0])
    for train, test in random_folds(dataset.targets, folds, seed):
        yield Round(train, test, random_folds(dataset.targets[train], config.inner_folds, seed))


def final_round(dataset: Dataset, config: ProtocolConfig) -> Round:
    """Every usable row, for the model that ships: those of the published lists, one track a group, else all."""
    if not dataset.splits:
        rows = np.arange(len(dataset))
        inner = grouped_folds(dataset.targets, dataset.groups, config.inner_folds, config.seeds[0])
        return Round(rows, rows[:0], inner)
    tests = [test for _, test, *_ in next(iter(dataset.splits.values()))]
    listed = np.unique(np.concatenate(tests))
    _, first = np.unique(dataset.groups[listed], return_index=True)
    rows = listed[np.isin(dataset.tracks[listed], dataset.tracks[listed[first]])]
    return Round(rows, rows[:0], inner_folds(rows, tests))
