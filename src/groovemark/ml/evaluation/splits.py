"""Splits that keep groups together, and the check that they do."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Split = tuple[Integers, Integers]


def grouped_folds(targets: Integers, groups: Integers, folds: int, seed: int) -> list[Split]:
    """`folds` (train, test) splits, labels in proportion, no group on both sides."""
    from sklearn.model_selection import StratifiedGroupKFold

    kinds = StratifiedGroupKFold(folds, shuffle=True, random_state=seed).split(targets, targets, groups)
    splits = [(train.astype(np.int64), test.astype(np.int64)) for train, test in kinds]
    for train, test in splits:
        require_no_overlap(groups, train, test)
    return splits


def random_folds(targets: Integers, folds: int, seed: int) -> list[Split]:
    """`folds` (train, test) splits that ignore groups: what a careless evaluation does."""
    return grouped_folds(targets, np.arange(len(targets)), folds, seed)


def shared_groups(groups: Integers, train: Integers, test: Integers) -> int:
    """How many groups stand on both sides."""
    return len(np.intersect1d(groups[train], groups[test]))


def require_no_overlap(groups: Integers, train: Integers, test: Integers) -> None:
    """Raises ValueError when a group, or a row, stands on both sides."""
    if shared := shared_groups(groups, train, test):
        raise ValueError(f"{shared} groups stand in both train and test")


def inner_folds(train: Integers, parts: list[Integers]) -> list[Split]:
    """Row numbers within `train`: each of `parts` (rows of the whole table) is held out once against the rest."""
    held = [np.flatnonzero(np.isin(train, part)) for part in parts]
    return [(np.setdiff1d(np.arange(len(train)), rows), rows) for rows in held if len(rows)]
