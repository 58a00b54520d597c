"""Forests: scikit-learn's probabilities without scikit-learn, from files that are not believed."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier
from sklearn.metrics import f1_score
from tiny_data import tiny_config

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.sets import FMA_42, MFCC_SEGMENTS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.files import read_arrays
from groovemark.ml.models.forest.classifier import to_matrix, with_temperature
from groovemark.ml.models.forest.fit import Fitted, as_trees, fit, make_plan
from groovemark.ml.models.forest.load import check_trees, load
from groovemark.ml.models.forest.save import save
from groovemark.ml.models.forest.settings import ForestSettings
from groovemark.ml.models.forest.trees import LEAF, Trees
from groovemark.ml.train import train
from groovemark.ml.training.config import SearchConfig

LABELS = 4
SPEC = ModelSpec("leaves", "1", "forest", "genre", FMA_42, ("a", "b", "c", "d"))


def make_rows(rows: int = 150) -> tuple[FeatureTable, np.ndarray]:
    generator = np.random.default_rng(0)
    targets = generator.integers(0, LABELS, rows)
    numbers = generator.normal(size=(rows, len(FMA_42.numeric_names))).round(2) + targets[:, None] / 2
    return FeatureTable(FMA_42, numbers), targets


def fit_small(**settings: object) -> Fitted:
    table, targets = make_rows()
    plan = make_plan(settings={"trees": 5, **settings}, ranges={}, trials=0, seeds=(0, 1))
    return fit(table, targets, LABELS, [(np.arange(100), np.arange(100, 150))], plan)


@pytest.fixture(scope="module")
def trees() -> Trees:
    return fit_small().member.trees


@pytest.mark.parametrize(
    "settings",
    [
        ForestSettings(trees=20),
        ForestSettings(trees=20, bootstrap=False, column_share=0.5, depth=3, class_weights=False),
    ],
)
def test_probabilities_are_scikit_learn_s(settings: ForestSettings) -> None:
    table, targets = make_rows()
    forest = RandomForestClassifier(**settings.library_parameters(0)).fit(to_matrix(table), targets)
    unseen = np.random.default_rng(1).normal(size=(500, table.numbers.shape[1]))
    on_thresholds = table.numbers  # the rounded numbers stand at, and beside, thresholds
    for numbers in (unseen, on_thresholds):
        matrix = to_matrix(FeatureTable(FMA_42, numbers))
        np.testing.assert_allclose(
            as_trees([forest], LABELS).probabilities(matrix), forest.predict_proba(matrix), atol=1e-6, rtol=0
        )


def test_forest_that_never_saw_a_label_gives_it_no_probability() -> None:
    table, targets = make_rows()
    rows = targets != 1
    matrix = to_matrix(table)
    forest = RandomForestClassifier(n_estimators=3, random_state=0).fit(matrix[rows], targets[rows])
    probabilities = as_trees([forest], LABELS).probabilities(matrix)
    assert (probabilities[:, 1] == 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-6)


def test_loaded_forest_answers_as_it_did_when_it_was_saved(tmp_path: Path) -> None:
    fitted = [fit_small(), fit_small(calibrated=True, leaf_rows=3)]
    save(tmp_path, fitted)
    table, _ = make_rows()
    expected = np.mean([entry.probabilities(table) for entry in fitted], axis=0)
    np.testing.assert_allclose(load(tmp_path, SPEC).run(table), expected, atol=1e-6)
    np.testing.assert_array_equal(load(tmp_path, SPEC, threads=2).run(table), load(tmp_path, SPEC).run(table))


def test_class_weights_bring_a_rare_label_forward() -> None:
    generator = np.random.default_rng(0)
    numbers = generator.normal(size=(300, len(FMA_42.numeric_names)))
    targets = (generator.random(300) < 0.1).astype(int)
    numbers[targets == 1, :5] += 1
    folds = [(np.arange(200), np.arange(200, 300))]
    rare = {}
    for weighted in (True, False):
        settings = {"trees": 30, "depth": 3, "class_weights": weighted}
        plan = make_plan(settings=settings, ranges={}, trials=0, seeds=(0,))
        table = FeatureTable(FMA_42, numbers)
        rare[weighted] = fit(table, targets, 2, folds, plan).probabilities(table)[:, 1].mean()
    assert rare[True] > 2 * rare[False]


def test_temperature_above_one_softens_and_one_changes_nothing() -> None:
    answers = np.array([[0.8, 0.2, 0.0]])
    assert with_temperature(answers, 1.0) is answers
    softer = with_temperature(answers, 2.0)
    np.testing.assert_allclose(softer, [[2 / 3, 1 / 3, 0]])


def test_search_takes_the_settings_that_its_objective_says() -> None:
    """Of all depths, by the answers for the rows held out by both folds, taken together."""
    table, targets = make_rows(300)
    matrix, rows, depths = to_matrix(table), np.arange(len(targets)), range(3, 7)
    folds = [(rows[::2], rows[1::2]), (rows[1::2], rows[::2])]
    truth = np.concatenate([targets[held] for _, held in folds])
    losses, f1 = {}, {}
    for depth in depths:
        parameters = ForestSettings(trees=10, depth=depth).library_parameters(0)
        forests = [RandomForestClassifier(**parameters).fit(matrix[train], targets[train]) for train, _ in folds]
        answers = np.concatenate(
            [forest.predict_proba(matrix[held]) for forest, (_, held) in zip(forests, folds, strict=True)]
        )
        losses[depth] = -np.log(np.maximum(answers[rows, truth], 1e-3)).mean()
        f1[depth] = f1_score(truth, answers.argmax(axis=1), average="weighted")
    chosen = {}
    for objective in ("log_loss", "weighted_f1"):
        plan = make_plan(
            settings={"trees": 10, "depth": 3}, ranges={"depth": (3, 6)}, trials=16, seeds=(0,), objective=objective
        )
        chosen[objective] = fit(table, targets, LABELS, folds, plan).chosen["depth"]
    assert chosen["log_loss"] == min(depths, key=lambda depth: losses[depth])
    assert chosen["weighted_f1"] == max(depths, key=lambda depth: f1[depth])
    assert chosen["log_loss"] != chosen["weighted_f1"]


def test_settings_that_do_not_exist_or_cannot_be_searched_are_refused() -> None:
    with pytest.raises(ConfigurationError, match="no setting 'leaves'"):
        make_plan(settings={"leaves": 3}, ranges={}, trials=0, seeds=(0,))
    with pytest.raises(ConfigurationError, match="'trees' cannot be searched"):
        make_plan(settings={}, ranges={"trees": (1, 2)}, trials=1, seeds=(0,))


def test_tensors_are_refused(tmp_path: Path) -> None:
    save(tmp_path, [fit_small()])
    with pytest.raises(ModelRejected, match="set of tensors"):
        load(tmp_path, replace(SPEC, features=MFCC_SEGMENTS))


def arrays_of(trees: Trees) -> dict[str, np.ndarray]:
    names = ("starts", "columns", "thresholds", "targets", "leaves")
    return {name: getattr(trees, name).copy() for name in names}


def damaged(trees: Trees, name: str, where: object, value: float) -> dict[str, np.ndarray]:
    arrays = arrays_of(trees)
    arrays[name][where] = value
    return arrays


def test_untouched_arrays_pass(trees: Trees) -> None:
    check_trees(arrays_of(trees), columns=42, labels=LABELS)


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("targets", 0, "before its parent"),
        ("targets", 2**31 - 1, "outside its tree"),
        ("targets", -5, "before its parent"),
        ("columns", 42, "column"),
        ("columns", -2, "column"),
        ("thresholds", np.nan, "finite"),
        ("leaves", np.inf, "finite"),
        ("leaves", -0.5, "negative"),
        ("leaves", 2.0, "sum to 1"),
        ("starts", 3, "one after the other"),
    ],
)
def test_number_that_would_lead_a_walk_astray_is_refused(trees: Trees, name: str, value: float, complaint: str) -> None:
    with pytest.raises(ModelRejected, match=complaint):
        check_trees(damaged(trees, name, 0, value), columns=42, labels=LABELS)


def test_leaf_without_probabilities_and_node_without_a_left_child_are_refused(trees: Trees) -> None:
    leaf = int(np.flatnonzero(trees.columns == LEAF)[0])
    for value in (len(trees.leaves), -1):
        with pytest.raises(ModelRejected, match="no probabilities"):
            check_trees(damaged(trees, "targets", leaf, value), columns=42, labels=LABELS)
    with pytest.raises(ModelRejected, match="outside its tree"):
        check_trees(damaged(trees, "columns", -1, 0), columns=42, labels=LABELS)


def test_child_in_another_tree_is_refused(trees: Trees) -> None:
    with pytest.raises(ModelRejected, match="outside its tree"):
        check_trees(damaged(trees, "targets", 0, int(trees.starts[1])), columns=42, labels=LABELS)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        (lambda arrays: arrays.pop("leaves"), "must hold the arrays"),
        (lambda arrays: arrays.update(more=np.zeros(1)), "must hold the arrays"),
        (lambda arrays: arrays.update(leaves=arrays["leaves"].astype(np.float64)), "leaves must be float32"),
        (lambda arrays: arrays.update(starts=arrays["starts"][:0]), "not empty"),
        (lambda arrays: arrays.update(columns=arrays["columns"][:, None]), "1 dimensions"),
        (lambda arrays: arrays.update(targets=arrays["targets"][1:]), "one length"),
        (lambda arrays: arrays.update(leaves=arrays["leaves"][:, :2]), "for 2 labels"),
    ],
)
def test_arrays_of_another_kind_are_refused(trees: Trees, change, complaint: str) -> None:
    arrays = arrays_of(trees)
    change(arrays)
    with pytest.raises(ModelRejected, match=complaint):
        check_trees(arrays, columns=42, labels=LABELS)


def test_pickled_compressed_and_lying_arrays_are_refused_unread(tmp_path: Path) -> None:
    path = tmp_path / "member-0.npz"
    np.savez(path, columns=np.array([{"a": 1}], dtype=object))
    with pytest.raises(ModelRejected, match="cannot be read"):
        read_arrays(path)
    np.savez_compressed(path, columns=np.zeros(1000))
    with pytest.raises(ModelRejected, match="compressed"):
        read_arrays(path)
    np.savez(path, columns=np.zeros(1000))
    with pytest.raises(ModelRejected, match="larger than"):
        read_arrays(path, bytes_max=1000)
    path.write_bytes(path.read_bytes().replace(b"(1000,)", b"(9000,)"))
    with pytest.raises(ModelRejected, match="cannot be read"):
        read_arrays(path)


def test_one_command_trains_searches_and_ships_a_forest_that_needs_no_scikit_learn(
    tiny_data: Path, tmp_path: Path
) -> None:
    settings = {"trees": 4, "calibrated": True, "column_share": 0.3}
    ranges = {"leaf_rows": (1, 4), "column_share": (0.1, 1.0)}
    search = SearchConfig(trials=2, ranges=ranges, objective="weighted_f1")
    config = tiny_config("gtzan", family="forest", settings=settings, search=search, variants=())
    lines: list[str] = []
    manifest = train(config, tiny_data, tmp_path, command="test", report=lines.append)
    assert manifest.metrics["accuracy"] > 0.5
    card = (tmp_path / "1" / "CARD.md").read_text()
    assert "Family: forest" in card
    assert "Search: 2 settings a round (optuna, drawn at random), chosen by weighted F1 on the inner folds." in card
    script = """
import sys
import numpy as np
from pathlib import Path
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
model = registry.load(Path(sys.argv[1]))
model.run(FeatureTable(model.spec.features, np.zeros((2, 57))))
print([name for name in ("sklearn", "torch", "pandas", "optuna", "lightgbm") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, str(tmp_path / "1")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"
