"""What every model must do, whatever its family: the shipped ones and small ones trained here."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from groovemark.errors import ModelRejected
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import read_manifest, verify_files
from groovemark.ml.models.base import Classifier
from groovemark.ml.models.overview import describe, read_speeds

SHIPPED = Path(__file__).parents[3] / "model"
NAMES = (
    "composer-14",
    "echonest-8",
    "echonest-kernel",
    "fma-8",
    "gtzan-10",
    "gtzan-forest",
    "gtzan-trees",
    "tiny-echonest",
    "tiny-fma",
    "tiny-gtzan",
)
ROWS = 40


@pytest.fixture(scope="module", params=NAMES)
def folder(request: pytest.FixtureRequest, tiny_models: Path) -> Path:
    root = tiny_models if request.param.startswith("tiny") else SHIPPED
    return root / request.param / "1"


@pytest.fixture(scope="module")
def model(folder: Path) -> Classifier:
    return registry.load(folder)


@pytest.fixture(scope="module")
def table(folder: Path) -> FeatureTable:
    """Rows within, at and far outside the training data's ranges."""
    reference = json.loads((folder / "reference.json").read_text())
    spec = FEATURE_SETS[reference["features"]]
    generator = np.random.default_rng(0)
    numbers = np.empty((ROWS, len(spec.numeric_names)))
    for index, name in enumerate(spec.numeric_names):
        numbers[:, index] = generator.choice(reference["numbers"][name], ROWS)
    numbers[-4:] *= [[0], [1e6], [-1e6], [1e300]]
    words = ["i, the, you, love", "", ",,,", "Ünïcode 未知 words", "dance, " * 500]
    return FeatureTable(spec, numbers, {name: [words[row % 5] for row in range(ROWS)] for name in spec.text_names})


def rows_of(table: FeatureTable, rows: slice) -> FeatureTable:
    texts = {name: cells[rows] for name, cells in table.texts.items()}
    return FeatureTable(table.spec, table.numbers[rows], texts)


def test_every_shipped_model_is_installed_under_its_own_name() -> None:
    assert {manifest.name for manifest in registry.installed(SHIPPED)} >= {"echonest-8", "fma-8", "gtzan-10"}


def test_table_of_the_shipped_models_is_fresh() -> None:
    assert (SHIPPED / "README.md").read_text() == describe(registry.installed(SHIPPED), read_speeds(SHIPPED))


def test_how_fast_a_shipped_model_is_was_measured() -> None:
    assert {manifest.full_name for manifest in registry.installed(SHIPPED)} <= set(read_speeds(SHIPPED))


def test_answers_one_probability_a_label_that_sum_to_one(model: Classifier, table: FeatureTable) -> None:
    probabilities = model.run(table)
    assert probabilities.shape == (ROWS, len(model.spec.labels))
    assert probabilities.dtype == np.float32
    assert (probabilities >= 0).all()
    np.testing.assert_allclose(probabilities.sum(axis=1), 1, atol=1e-5)


def test_a_row_scores_the_same_alone_and_among_others(model: Classifier, table: FeatureTable) -> None:
    together = model.run(table)
    for row in range(ROWS):
        np.testing.assert_array_equal(model.run(rows_of(table, slice(row, row + 1)))[0], together[row])


def test_extreme_rows_overflow_nowhere(model: Classifier, table: FeatureTable) -> None:
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(model.run(table)).all()


def test_the_same_rows_get_the_same_answer_twice(model: Classifier, table: FeatureTable) -> None:
    np.testing.assert_array_equal(model.run(table), model.run(table))


def test_no_rows_give_no_answers(model: Classifier, table: FeatureTable) -> None:
    assert model.run(rows_of(table, slice(0, 0))).shape == (0, len(model.spec.labels))


def test_refuses_rows_of_another_feature_set(model: Classifier) -> None:
    other = next(spec for spec in FEATURE_SETS.values() if spec.name != model.spec.features.name)
    rows = FeatureTable(other, np.zeros((1, len(other.numeric_names))), {name: [""] for name in other.text_names})
    with pytest.raises(ModelRejected, match=other.name):
        model.run(rows)


def test_labels_are_sorted_and_unique(model: Classifier) -> None:
    assert list(model.spec.labels) == sorted(set(model.spec.labels))


def test_manifest_describes_every_file_of_the_folder(folder: Path) -> None:
    manifest = read_manifest(folder)
    verify_files(folder, manifest)
    assert {path.name for path in folder.iterdir()} == {*manifest.files, "manifest.json"}
    assert {"CARD.md", "reference.json"} <= set(manifest.files)


def test_spec_is_the_manifest_s(folder: Path, model: Classifier) -> None:
    manifest = read_manifest(folder)
    spec = model.spec
    assert (spec.name, spec.version, spec.family, spec.task, spec.labels) == (
        manifest.name,
        manifest.version,
        manifest.family,
        manifest.task,
        manifest.labels,
    )
    assert (spec.features.name, spec.features.sha256) == (manifest.features, manifest.features_sha256)


def test_prediction_needs_neither_scikit_learn_nor_torch(tiny_models: Path) -> None:
    script = """
import sys
import numpy as np
from pathlib import Path
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
model = registry.load(Path(sys.argv[1]))
width = len(model.spec.features.numeric_names)
model.run(FeatureTable(model.spec.features, np.zeros((2, width)), {"tags": ["love", ""]}))
print([name for name in ("sklearn", "torch", "pandas", "optuna") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, str(tiny_models / "tiny-echonest" / "1")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


def test_label_shares_of_the_reference_sum_to_one(folder: Path, model: Classifier) -> None:
    shares = json.loads((folder / "reference.json").read_text())["label_shares"]
    assert tuple(shares) == model.spec.labels
    assert sum(shares.values()) == pytest.approx(1, abs=1e-4)
