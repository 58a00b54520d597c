"""What is particular to kernel models; the conformance tests ask the shipped one what every model is asked."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.datasets import READERS
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.splits import grouped_folds
from groovemark.ml.features.sets import ECHONEST_155, FMA_42
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.kernel.classifier import to_waves
from groovemark.ml.models.kernel.fit import Fitted, fit, make_plan
from groovemark.ml.models.kernel.load import load
from groovemark.ml.models.kernel.save import save


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return READERS["echonest"](tiny_data)


@pytest.fixture(scope="module")
def fitted(dataset: Dataset) -> Fitted:
    ranges = {"inverse_penalty": (1.0, 100.0)}
    plan = make_plan(settings={"waves": 64}, ranges=ranges, trials=2, seeds=(3,))
    folds = grouped_folds(dataset.targets, dataset.groups, 2, seed=0)
    return fit(dataset.table, dataset.targets, 3, folds, plan)


@pytest.fixture
def folder(fitted: Fitted, tmp_path: Path) -> Path:
    assert save(tmp_path, [fitted, fitted]) == ["kernel.json", "member-0.npz", "member-1.npz"]
    return tmp_path


def spec_of(dataset: Dataset) -> ModelSpec:
    return ModelSpec("numbers", "1", "kernel", "genre", ECHONEST_155, dataset.labels)


def test_products_of_waves_are_the_kernel() -> None:
    """exp(-g |x - y|² / d) with g = 1/2, where directions have a deviation of sqrt(2 g / d)."""
    generator = np.random.default_rng(0)
    width, waves = 42, 20_000
    rows = FeatureTable(FMA_42, np.expm1(generator.uniform(0, 1, (2, width))))
    directions = generator.normal(0, width**-0.5, (width, waves)).astype(np.float32)
    phases = generator.uniform(0, 2 * np.pi, waves)
    first, second = to_waves(rows, np.zeros(width), np.ones(width), directions, phases)
    distance = np.diff(np.log1p(rows.numbers), axis=0) ** 2
    assert first @ second == pytest.approx(np.exp(-0.5 * distance.sum() / width), abs=0.02)


def test_what_was_saved_answers_as_what_was_fitted(folder: Path, fitted: Fitted, dataset: Dataset) -> None:
    answers = load(folder, spec_of(dataset)).run(dataset.table)
    np.testing.assert_allclose(answers, fitted.probabilities(dataset.table), atol=1e-6)
    assert (answers.argmax(axis=1) == dataset.targets).mean() > 0.9
    assert set(fitted.chosen) == {"inverse_penalty", "temperature"}


def test_other_settings_are_refused() -> None:
    for settings, message in (({"trees": 3}, "no setting 'trees'"), ({"waves": 0}, "waves of kernel")):
        with pytest.raises(ConfigurationError, match=message):
            make_plan(settings=settings, ranges={}, trials=0, seeds=(0,))
    with pytest.raises(ConfigurationError, match="'waves' of a kernel model cannot be searched"):
        make_plan(settings={}, ranges={"waves": (1, 9)}, trials=1, seeds=(0,))


def _text(content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / "kernel.json").write_text(content) and None


def _arrays(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        with np.load(folder / "member-1.npz") as stored:
            arrays = dict(stored)
        np.savez(folder / "member-1.npz", **{**arrays, **changes})  # type: ignore[arg-type]

    return damage


DAMAGES = {
    "no members": (_text('{"members": []}'), "1 to 64 members"),
    "an unsafe file": (_text('{"members": [{"temperature": 1.0, "arrays": "../x"}]}'), "unsafe file"),
    "a wild temperature": (_text('{"members": [{"temperature": NaN, "arrays": "x"}]}'), "temperature must be"),
    "another array": (_arrays(x=np.zeros(1)), "must hold the arrays"),
    "no waves": (_arrays(phases=np.zeros(0)), "1 to 16384 waves"),
    "waves of another shape": (_arrays(phases=np.zeros(9)), "directions must hold finite float32 .* 9"),
    "another type": (_arrays(bias=np.zeros(3, np.float32)), "bias must hold finite float64"),
    "what is not finite": (_arrays(bias=np.full(3, np.inf)), "bias must hold finite"),
    "no deviation": (_arrays(deviation=np.zeros(154)), "deviation must be above 0"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_model_is_refused_that_has(folder: Path, dataset: Dataset, what: str) -> None:
    damage, message = DAMAGES[what]
    damage(folder)
    with pytest.raises(ModelRejected, match=message):
        load(folder, spec_of(dataset))
