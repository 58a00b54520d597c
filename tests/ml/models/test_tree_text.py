"""Mutated model texts: each of them makes LightGBM hang, crash or answer nonsense when it is not stopped before."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groovemark.errors import ModelRejected
from groovemark.ml.models.boosting.tree_text import check_trees, compact


@pytest.fixture(scope="module")
def text() -> str:
    return compact(grow().model_to_string())


def grow() -> object:
    import lightgbm

    generator = np.random.default_rng(0)
    numbers, targets = generator.normal(size=(90, 4)), generator.integers(0, 3, 90)
    parameters = {"objective": "multiclass", "num_class": 3, "num_leaves": 5, "verbose": -1, "num_threads": 1}
    return lightgbm.train({**parameters, "min_child_samples": 5}, lightgbm.Dataset(numbers, targets), 3)


def edit(text: str, pattern: str, replacement: str) -> str:
    """The first match replaced, tree_sizes set right again so that only the edit itself is wrong."""
    edited, count = re.subn(pattern, replacement, text, count=1, flags=re.MULTILINE)
    assert count == 1, pattern
    return resize(edited)


def resize(text: str) -> str:
    body = text[text.index("Tree=0") : text.index("end of trees")]
    sizes = " ".join(str(len(tree)) for tree in re.split(r"(?=^Tree=)", body, flags=re.MULTILINE) if tree)
    return re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", text, flags=re.MULTILINE)


def test_compact_text_predicts_bit_for_bit_what_the_booster_does() -> None:
    import lightgbm

    booster = grow()
    rows = np.random.default_rng(1).normal(size=(50, 4))
    again = lightgbm.Booster(model_str=compact(booster.model_to_string()))  # type: ignore[attr-defined]
    expected = booster.predict(rows, raw_score=True)  # type: ignore[attr-defined]
    np.testing.assert_array_equal(again.predict(rows, raw_score=True), expected)


def test_sound_text_passes_and_says_its_shape(text: str) -> None:
    trees = check_trees(text)
    assert (trees.classes, trees.features, len(trees.trees)) == (3, 4, 9)


@pytest.mark.parametrize(
    ("pattern", "replacement"),
    [
        (r"^tree$", "forest"),
        (r"^version=v4$", "version=v3"),
        (r"^num_class=3$", "num_class=1000000000"),
        (r"^num_class=3$", "num_class=3\nnum_class=3"),
        (r"^num_tree_per_iteration=3$", "num_tree_per_iteration=2"),
        (r"^objective=.*$", "objective=binary sigmoid:1"),
        (r"^max_feature_idx=3$", "max_feature_idx=2147483647"),
        (r"^max_feature_idx=3$", "max_feature_idx=2"),
        (r"^feature_names=Column_0", "feature_names=Column_1"),
        (r"^feature_infos=\S+", "feature_infos=[0:1:2]"),
        (r"^num_leaves=5$", "num_leaves=5\nnum_leaves=5"),
        (r"^num_leaves=5$", "num_leaves=2147483647"),
        (r"^num_leaves=5$", "num_leaves=4"),
        (r"^num_leaves=5$", "num_leaves=-1"),
        (r"^num_cat=0$", "num_cat=1"),
        (r"^is_linear=0$", "is_linear=1"),
        (r"^split_feature=\d+", "split_feature=4"),
        (r"^split_feature=\d+", "split_feature=-1"),
        (r"^decision_type=\d+", "decision_type=1"),
        (r"^left_child=\S+", "left_child=0"),
        (r"^right_child=\S+", "right_child=-99"),
        (r"^left_child=(\S+) (\S+)", r"left_child=\1 \1"),
        (r"^threshold=\S+", "threshold=nan"),
        (r"^threshold=\S+", "threshold=1e999"),
        (r"^leaf_value=\S+", "leaf_value=nan"),
        (r"^leaf_value=\S+", "leaf_value=inf"),
        (r"^leaf_value=\S+", "leaf_value="),
        (r"^shrinkage=1$", "shrinkage=x"),
        (r"^Tree=1$", "Tree=7"),
        (r"^shrinkage=1$", "leaf_const=1\nshrinkage=1"),
        (r"^end of trees$", "end of trees\nparameters:\n[machines: 10.0.0.1]"),
    ],
)
def test_broken_text_is_refused(text: str, pattern: str, replacement: str) -> None:
    with pytest.raises(ModelRejected):
        check_trees(edit(text, pattern, replacement))


def test_cycle_is_refused(text: str) -> None:
    left = re.search(r"^left_child=(.*)$", text, re.MULTILINE)
    assert left is not None
    looped = " ".join(["0", *left[1].split(" ")[1:]])
    with pytest.raises(ModelRejected):
        check_trees(edit(text, r"^left_child=.*$", f"left_child={looped}"))


@pytest.mark.parametrize("sizes", ["1 1 1", "0", "-5 10 10", "99999999", "x"])
def test_wrong_tree_sizes_are_refused(text: str, sizes: str) -> None:
    with pytest.raises(ModelRejected):
        check_trees(re.sub(r"^tree_sizes=.*$", f"tree_sizes={sizes}", text, flags=re.MULTILINE))


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_any_damage_is_refused_or_harmless(text: str, data: st.DataObject) -> None:
    """A text that passes after random damage must load and predict finite scores."""
    import lightgbm

    place = data.draw(st.integers(0, len(text) - 1))
    length = data.draw(st.integers(0, 20))
    damaged = text[:place] + data.draw(st.text("0123456789-. =\nTreeabc", max_size=10)) + text[place + length :]
    try:
        check_trees(damaged)
    except ModelRejected:
        return
    assert np.isfinite(lightgbm.Booster(model_str=damaged).predict(np.zeros((1, 4)))).all()


def test_shipped_trees_pass() -> None:
    files = sorted((Path(__file__).parents[3] / "model").glob("*/*/*.txt"))
    assert files
    for file in files:
        check_trees(file.read_text(encoding="ascii"))
