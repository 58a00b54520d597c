from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.sets import FMA_42, LOG_MEL, MUSICNN_200
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.linear.fit import Fitted, fit, make_plan
from groovemark.ml.models.linear.load import LINEAR_NAME, load
from groovemark.ml.models.linear.save import save

LABELS = ("folk", "metal", "pop")
SPEC = ModelSpec("one", "1", "linear", "genre", MUSICNN_200, LABELS)
TARGETS = np.arange(60) % 3
FOLDS = [(np.arange(30), np.arange(30, 60)), (np.arange(30, 60), np.arange(30))]


def rows(spec: FeatureSpec = MUSICNN_200) -> FeatureTable:
    """60 rows whose labels differ in three of their numbers."""
    numbers = np.random.default_rng(0).normal(size=(60, *spec.window_shape))
    numbers[np.arange(60), TARGETS] += 4
    return FeatureTable.of_windows(spec, numbers)


def fitted(spec: FeatureSpec = MUSICNN_200, **changes: object) -> Fitted:
    settings = {name: value for name, value in changes.items() if name in ("method", "shrinkage", "inverse_penalty")}
    trials, ranges = changes.get("trials", 0), changes.get("ranges", {})
    plan = make_plan(settings=settings, ranges=ranges, trials=trials, seeds=(0,))  # type: ignore[arg-type]
    return fit(rows(spec), TARGETS, len(LABELS), FOLDS, plan)


@pytest.mark.parametrize("spec", [MUSICNN_200, FMA_42], ids=["tensor", "columns"])
@pytest.mark.parametrize("method", ["discriminant", "logistic"])
def test_answers_after_loading_as_it_did_after_fitting(method: str, spec: FeatureSpec, tmp_path: Path) -> None:
    one = fitted(spec, method=method)
    save(tmp_path, [one])
    probabilities = load(tmp_path, replace(SPEC, features=spec)).run(rows(spec))
    np.testing.assert_allclose(probabilities, one.probabilities(rows(spec)), atol=1e-6)
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)
    assert (probabilities.argmax(axis=1) == TARGETS).mean() > 0.95


def test_a_row_scores_the_same_alone_and_among_others_and_extremes_overflow_nowhere(tmp_path: Path) -> None:
    save(tmp_path, [fitted(), fitted(shrinkage=0.9)])
    model = load(tmp_path, SPEC)
    numbers = rows().numbers.copy()
    numbers[-3:] *= [[0], [1e30], [-1e30]]
    with np.errstate(all="raise", under="ignore"):
        together = model.run(FeatureTable(MUSICNN_200, numbers))
        for row in range(len(numbers)):
            alone = model.run(FeatureTable(MUSICNN_200, numbers[row : row + 1]))
            np.testing.assert_array_equal(alone[0], together[row])
    assert np.isfinite(together).all()


def test_the_inner_folds_choose_the_shrinkage_and_the_temperature() -> None:
    chosen = fitted(trials=3, ranges={"shrinkage": (0.01, 0.99)}).chosen
    assert set(chosen) == {"shrinkage", "temperature"}
    assert 0.01 <= chosen["shrinkage"] <= 0.99


def test_a_label_that_an_inner_training_side_lacks_does_not_spoil_the_calibration() -> None:
    lacking = np.flatnonzero(TARGETS[:30] != 2)
    plan = make_plan(settings={}, ranges={}, trials=0, seeds=(0,))
    usual = fit(rows(), TARGETS, 3, [(lacking, np.arange(30, 60))], plan)
    without = fit(rows(), TARGETS, 3, [(lacking, np.flatnonzero(TARGETS != 2)[20:])], plan)
    assert usual.member.temperature == without.member.temperature


def test_the_same_fit_gives_the_same_files(tmp_path: Path) -> None:
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        assert save(tmp_path / name, [fitted()]) == [LINEAR_NAME, "member-0.npz"]
    for name in (LINEAR_NAME, "member-0.npz"):
        assert (tmp_path / "first" / name).read_bytes() == (tmp_path / "second" / name).read_bytes()


def test_settings_and_sets_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no setting 'depth'"):
        make_plan(settings={"depth": 3}, ranges={}, trials=0, seeds=(0,))
    with pytest.raises(ConfigurationError, match="one of discriminant, logistic"):
        fitted(method="magic")
    with pytest.raises(ConfigurationError, match="'method' of a linear model cannot be searched"):
        make_plan(settings={}, ranges={"method": (0, 1)}, trials=1, seeds=(0,))
    with pytest.raises(ConfigurationError, match="at most 4096 numbers a row and no text, not log-mel"):
        fitted(LOG_MEL)


@pytest.mark.parametrize(
    ("arrays", "complaint"),
    [
        ({"weights": np.zeros((200, 2)), "bias": np.zeros(3)}, "weights must hold finite"),
        ({"weights": np.full((200, 3), np.nan), "bias": np.zeros(3)}, "weights must hold finite"),
        ({"weights": np.zeros((200, 3)), "bias": np.zeros(3, dtype=np.float32)}, "bias must hold finite"),
        ({"weights": np.zeros((200, 3))}, "must hold the arrays"),
    ],
    ids=["labels", "nan", "type", "missing"],
)
def test_arrays_that_do_not_fit_the_model_are_refused(
    arrays: dict[str, np.ndarray], complaint: str, tmp_path: Path
) -> None:
    save(tmp_path, [fitted()])
    np.savez(tmp_path / "member-0.npz", **arrays)
    with pytest.raises(ModelRejected, match=complaint):
        load(tmp_path, SPEC)


@pytest.mark.parametrize(
    "text",
    ["[]", '{"members": []}', '{"members": [{"temperature": 0.0, "arrays": "member-0.npz"}]}',
     '{"members": [{"temperature": 1.0, "arrays": "../member-0.npz"}]}'],
)  # fmt: skip
def test_a_description_that_cannot_be_followed_is_refused(text: str, tmp_path: Path) -> None:
    save(tmp_path, [fitted()])
    (tmp_path / LINEAR_NAME).write_text(text)
    with pytest.raises(ModelRejected, match=r"linear\.json"):
        load(tmp_path, SPEC)
