"""`groovemark model import`."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from groovemark.cli import app
from groovemark.ml.encoders.musicnn_tags import TAG_NAMES
from groovemark.ml.features.sets import LOG_MEL
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.overview import describe


@pytest.fixture
def models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MODEL_PATH", str(tmp_path / "models"))
    return tmp_path / "models"


@pytest.fixture
def source() -> Path:
    folder = Path(os.environ.get("GROOVEMARK_DATA", "../shared/data")) / "pretrained" / "musicnn"
    if not folder.is_dir():
        pytest.skip(f"needs the weights of MusiCNN (no {folder})")
    return folder


def test_an_imported_network_is_an_installed_model_that_answers_with_each_tag_for_itself(
    models: Path, source: Path
) -> None:
    for _ in range(2):  # a second import replaces the first
        result = CliRunner().invoke(app, ["model", "import", "musicnn", "--from", str(source)])
        assert result.exit_code == 0, result.output
    assert "for study and research only" in result.stderr
    assert "study and research only" in (models / "musicnn" / "1" / "CARD.md").read_text()
    (manifest,) = registry.installed(models)
    assert describe([manifest], {}) == describe([], {}), "no figures of ours, and nothing that ships"
    model = registry.load(models / "musicnn" / "1")
    assert (model.spec.task, model.spec.is_multi_label) == ("tags", True)
    assert model.spec.labels == tuple(sorted(TAG_NAMES))
    reference = np.load(Path(__file__).parents[1] / "ml" / "encoders" / "musicnn_reference.npz")["tags"][0]
    numbers = np.random.default_rng(0).uniform(0, 4, size=(2, 187 * 96)).astype(np.float32)
    answer = model.run(FeatureTable(LOG_MEL, numbers[:1]))[0]
    assert model.spec.labels[answer.argmax()] == TAG_NAMES[reference.argmax()]
    np.testing.assert_allclose(np.sort(answer), np.sort(reference), atol=1e-6)
    assert answer.sum() != pytest.approx(1, abs=0.1)


def test_a_source_without_the_weights_is_an_error_of_one_line_and_leaves_nothing(models: Path, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["model", "import", "musicnn", "--from", str(tmp_path)])
    assert result.exit_code == 1
    assert result.stderr.startswith(f"groovemark: {tmp_path} holds no weights of MusiCNN")
    assert result.stderr.count("\n") == 1
    assert not models.exists()


CHECKPOINT = Path(__file__).parents[1] / "ml" / "models" / "ast_checkpoint"


def test_a_transformer_is_imported_by_the_name_and_with_the_precision_that_were_asked_for(models: Path) -> None:
    arguments = [str(CHECKPOINT), "--name", "small", "--task", "mood", "--precision", "bf16", "--multi-label"]
    result = CliRunner().invoke(app, ["model", "import", "transformer", *arguments])
    assert result.exit_code == 0, result.output
    assert result.stdout.startswith("small@1: ")
    assert "Licence of small: that of the checkpoint's authors" in result.stderr
    assert '"precision": "bf16"' in (models / "small" / "1" / "transformer.json").read_text()
    spec = registry.load(models / "small" / "1").spec
    assert (spec.task, spec.labels, spec.is_multi_label) == ("mood", ("Blues", "Jazz", "Techno"), True)


def test_a_checkpoint_that_cannot_be_used_is_an_error_of_one_line_and_leaves_nothing(
    models: Path, tmp_path: Path
) -> None:
    result = CliRunner().invoke(app, ["model", "import", "transformer", str(tmp_path), "--name", "small"])
    assert (result.exit_code, result.stderr) == (1, f"groovemark: {tmp_path} holds no config.json\n")
    assert not models.exists()
