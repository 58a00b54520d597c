from __future__ import annotations

import numpy as np
import pytest

from groovemark.ml.evaluation.splits import (
    grouped_folds,
    inner_folds,
    random_folds,
    require_no_overlap,
    shared_groups,
)


def test_grouped_folds_share_no_group_and_score_every_row_once() -> None:
    generator = np.random.default_rng(0)
    targets, groups = generator.integers(0, 3, 300), generator.integers(0, 60, 300)
    folds = grouped_folds(targets, groups, 4, seed=1)
    for train, test in folds:
        assert not set(groups[train]) & set(groups[test])
    assert sorted(np.concatenate([test for _, test in folds])) == list(range(300))


def test_random_folds_do_let_groups_leak() -> None:
    targets, groups = np.tile([0, 1], 50), np.repeat(np.arange(10), 10)
    assert any(set(groups[train]) & set(groups[test]) for train, test in random_folds(targets, 4, seed=0))


def test_overlap_is_refused() -> None:
    with pytest.raises(ValueError, match="1 groups"):
        require_no_overlap(np.array([7, 8, 7]), np.array([0, 1]), np.array([2]))


def test_inner_folds_number_rows_within_the_training_side() -> None:
    folds = inner_folds(np.array([10, 20, 30, 40]), [np.array([20]), np.array([40, 99])])
    assert [(train.tolist(), held.tolist()) for train, held in folds] == [([0, 2, 3], [1]), ([0, 1, 2], [3])]


def test_groups_on_both_sides_are_counted() -> None:
    groups = np.array([7, 8, 7, 8, 9])
    assert shared_groups(groups, np.array([0, 1]), np.array([2, 3, 4])) == 2
    assert shared_groups(groups, np.array([0, 2]), np.array([1, 3, 4])) == 0
