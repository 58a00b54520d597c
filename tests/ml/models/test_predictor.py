"""The compiled trees against LightGBM: raw scores equal to the last bit, or LightGBM itself at work."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.base import BLOCK_ROWS
from groovemark.ml.models.boosting.native import LibraryPredictor
from groovemark.ml.models.boosting.predictor import (
    LEAVES_MAX,
    ROWS_AT_ONCE,
    CompiledPredictor,
    can_compile,
    make_predictor,
)
from groovemark.ml.models.boosting.tree_text import Trees, check_trees, compact

SHIPPED = Path(__file__).parents[3] / "model"
FILES = sorted(SHIPPED.glob("*/*/*.txt"))
TINY = float(np.float32(1e-35))
_SIZES = (0.0, 1e-45, 1e-38, TINY, 2 * TINY, 1e-20, 1.0, 3.4e38, np.inf)
EXTREMES = np.array([*_SIZES, *(-size for size in _SIZES), np.nan], np.float32)


def thresholds_of(trees: Trees) -> dict[int, list[float]]:
    """Of each column."""
    found: dict[int, list[float]] = {column: [0.0] for column in range(trees.features)}
    for tree in trees.trees:
        for column, threshold in zip(tree.columns, tree.thresholds, strict=True):
            found[column].append(threshold)
    return found


def telling_rows(trees: Trees, seed: int, rows: int) -> NDArray[np.float32]:
    """Numbers at, just below and just above thresholds of their column; ordinary ones; and extreme ones."""
    generator = np.random.default_rng(seed)
    matrix = np.empty((rows, trees.features), np.float32)
    for column, thresholds in thresholds_of(trees).items():
        near = generator.choice(np.array(thresholds), rows).astype(np.float32)
        aside = np.nextafter(near, np.float32([-np.inf, np.inf])[generator.integers(0, 2, rows)])
        ordinary = (near + generator.normal(size=rows)).astype(np.float32)
        extreme = generator.choice(EXTREMES, rows)
        matrix[:, column] = np.choose(
            generator.integers(0, 8, rows), [near, near, aside, aside] + 3 * [ordinary] + [extreme]
        )
    return matrix


def assert_same_bits(text: str, matrix: NDArray[np.float32]) -> None:
    compiled = CompiledPredictor(check_trees(text))
    np.testing.assert_array_equal(compiled.raw_scores(matrix), LibraryPredictor(text).raw_scores(matrix))


def grow(parameters: Mapping[str, Any], numbers: NDArray[np.float64], rounds: int = 3) -> str:
    import lightgbm

    targets = np.arange(len(numbers)) * 7 % 5 % 3
    fixed = {"objective": "multiclass", "num_class": 3, "verbose": -1, "num_threads": 1, "min_child_samples": 1}
    booster = lightgbm.train({**fixed, **parameters}, lightgbm.Dataset(numbers, targets), rounds)
    return compact(booster.model_to_string())


def with_first(text: str, key: str, value: str) -> str:
    """The first tree's first entry under a key replaced by one of the same length, so that tree_sizes stays right."""
    start = text.index(f"\n{key}=") + len(key) + 2
    end = min(text.index(" ", start), text.index("\n", start))
    assert len(value) == end - start, (text[start:end], value)
    return text[:start] + value + text[end:]


@pytest.mark.parametrize("file", FILES, ids=lambda file: f"{file.parts[-3]}-{file.stem}")
def test_shipped_trees_are_compiled_and_score_every_bit_as_lightgbm_does(file: Path) -> None:
    text = file.read_text(encoding="ascii")
    trees = check_trees(text)
    assert isinstance(make_predictor(trees, text), CompiledPredictor)
    assert_same_bits(text, telling_rows(trees, seed=0, rows=1_000))


@pytest.mark.parametrize("value", EXTREMES)
def test_rows_of_one_extreme_number_score_as_in_lightgbm(value: np.float32) -> None:
    text = FILES[0].read_text(encoding="ascii")
    assert_same_bits(text, np.full((1, check_trees(text).features), value))


@pytest.mark.parametrize("rows", [0, 1, ROWS_AT_ONCE - 1, ROWS_AT_ONCE, ROWS_AT_ONCE + 1])
def test_a_row_scores_the_same_alone_and_among_others(rows: int) -> None:
    for file in FILES[:1] + FILES[-1:]:
        predictor = CompiledPredictor(trees := check_trees(file.read_text(encoding="ascii")))
        matrix = telling_rows(trees, seed=1, rows=rows)
        together = predictor.raw_scores(matrix)
        assert together.shape == (rows, trees.classes)
        for row in range(rows):
            np.testing.assert_array_equal(predictor.raw_scores(matrix[row : row + 1])[0], together[row])


@settings(max_examples=40, deadline=None)
@given(
    leaves=st.integers(2, LEAVES_MAX),
    rounds=st.integers(1, 6),
    columns=st.integers(1, 5),
    bins=st.integers(2, 255),
    scale=st.sampled_from([1.0, 1e-36, 1e-34, 1e-20, 1e30]),
    random_splits=st.booleans(),
    are_whole=st.booleans(),
    seed=st.integers(0, 99),
)
def test_trees_of_any_growth_score_every_bit_as_lightgbm_does(
    leaves: int, rounds: int, columns: int, bins: int, scale: float, random_splits: bool, are_whole: bool, seed: int
) -> None:
    numbers = np.random.default_rng(seed).normal(size=(80, columns)) * 3
    numbers = (np.round(numbers) if are_whole else numbers) * scale
    growth = {"num_leaves": leaves, "max_bin": bins, "extra_trees": random_splits, "min_data_in_bin": 1, "seed": seed}
    text = grow(growth, numbers, rounds)
    trees = check_trees(text)
    assert can_compile(trees)
    assert_same_bits(text, telling_rows(trees, seed, rows=150))
    assert_same_bits(text, numbers.astype(np.float32))


@pytest.mark.parametrize("threshold", ["0", "-0.0", "1e-36", "-1e-36", "1e-40", "-1e-45", "1e-35", "-1e-35", "9e-300"])
def test_thresholds_among_the_numbers_that_count_as_zero_split_as_in_lightgbm(threshold: str) -> None:
    text = grow({"num_leaves": 4}, np.random.default_rng(0).normal(size=(80, 1)))
    start = text.index("\nthreshold=") + len("\nthreshold=")
    digits = text.index(" ", start) - start
    # The same length again: digits before an exponent may be followed by zeros, a plain number likewise.
    number, mark, exponent = threshold.partition("e")
    number += "" if "." in number else ".0"
    padded = (number + "0" * (digits - len(threshold)))[: digits - len(mark + exponent)] + mark + exponent
    changed = with_first(text, "threshold", padded)
    assert_same_bits(changed, np.concatenate([EXTREMES, np.nextafter(EXTREMES, np.float32(0))])[:, None])


@pytest.mark.parametrize("threshold", ["1e39", "-1e39", "3.5e38", "1e308"])
def test_thresholds_beyond_float32_split_as_in_lightgbm(threshold: str) -> None:
    test_thresholds_among_the_numbers_that_count_as_zero_split_as_in_lightgbm(threshold)


def test_trees_of_one_leaf_add_that_leaf() -> None:
    text = grow({"num_leaves": 2, "min_child_samples": 1_000}, np.zeros((80, 2)))
    trees = check_trees(text)
    assert all(len(tree.leaf_values) == 1 for tree in trees.trees)
    assert_same_bits(text, np.zeros((3, 2), np.float32))


@pytest.mark.parametrize(
    "growth",
    [{"num_leaves": LEAVES_MAX + 8}, {"num_leaves": 6, "zero_as_missing": True}, {"num_leaves": 6, "with_nan": True}],
    ids=["many leaves", "zero is missing", "NaN is missing"],
)
def test_trees_beyond_the_compiled_are_left_to_lightgbm(growth: dict[str, Any]) -> None:
    numbers = np.random.default_rng(0).normal(size=(300, 3))
    numbers[::3, 0] = np.nan if growth.pop("with_nan", False) else 0
    text = grow(growth, numbers)
    trees = check_trees(text)
    assert not can_compile(trees)
    predictor = make_predictor(trees, text)
    assert isinstance(predictor, LibraryPredictor)
    assert predictor.raw_scores(numbers.astype(np.float32)).shape == (300, 3)


@pytest.mark.parametrize("matrix", [np.zeros((2, 3)), np.zeros((2, 4), np.float32), np.zeros(3, np.float32)])
def test_matrix_of_another_type_or_width_is_refused(matrix: NDArray[Any]) -> None:
    text = grow({"num_leaves": 4}, np.random.default_rng(0).normal(size=(80, 3)))
    with pytest.raises(ValueError, match="float32 of 3 columns"):
        CompiledPredictor(check_trees(text)).raw_scores(matrix)


def test_matrix_in_another_order_of_memory_scores_the_same() -> None:
    trees = check_trees(FILES[0].read_text(encoding="ascii"))
    matrix, predictor = telling_rows(trees, seed=2, rows=100), CompiledPredictor(trees)
    np.testing.assert_array_equal(predictor.raw_scores(np.asfortranarray(matrix)), predictor.raw_scores(matrix))


@pytest.mark.parametrize("name", ["echonest-8", "gtzan-10"])
def test_more_threads_give_the_same_probabilities(name: str) -> None:
    one, two = registry.load(SHIPPED / name / "1"), registry.load(SHIPPED / name / "1", threads=2)
    spec = FEATURE_SETS[one.spec.features.name]
    numbers = np.random.default_rng(0).normal(size=(BLOCK_ROWS + 70, len(spec.numeric_names)))
    table = FeatureTable(spec, numbers, {name: ["love, jazz"] * len(numbers) for name in spec.text_names})
    np.testing.assert_array_equal(two.run(table), one.run(table))


def test_shipped_models_predict_without_importing_lightgbm() -> None:
    script = """
import json, sys
import numpy as np
from pathlib import Path
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
for folder in map(Path, sys.argv[1:]):
    model = registry.load(folder)
    spec = model.spec.features
    model.run(FeatureTable(spec, np.zeros((2, len(spec.numeric_names))), {name: ["a", ""] for name in spec.text_names}))
print(json.dumps("lightgbm" in sys.modules))
"""
    folders = [str(SHIPPED / name / "1") for name in ("echonest-8", "fma-8", "gtzan-10")]
    answer = subprocess.run([sys.executable, "-c", script, *folders], check=True, capture_output=True, text=True)
    assert json.loads(answer.stdout) is False
