"""A head on an imported network: the shipped `gtzan-musicnn`."""

from __future__ import annotations

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest

from groovemark.errors import ModelRejected, ModelUnavailable
from groovemark.ml.features.sets import LOG_MEL, MUSICNN_200
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.encoded import EncodedClassifier
from groovemark.ml.models.musicnn.importing import import_musicnn

SHIPPED = Path(__file__).parents[3] / "model" / "gtzan-musicnn"


@pytest.fixture
def models(tmp_path: Path) -> Path:
    """A folder of models that holds the head alone."""
    shutil.copytree(SHIPPED, tmp_path / "gtzan-musicnn")
    return tmp_path


@pytest.fixture
def imported(models: Path) -> Path:
    source = Path(os.environ.get("GROOVEMARK_DATA", "../shared/data")) / "pretrained" / "musicnn"
    if not source.is_dir():
        pytest.skip(f"needs the weights of MusiCNN (no {source})")
    import_musicnn(models, source)
    return models


def test_without_its_network_it_names_the_command_that_imports_it(models: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"gtzan-musicnn@1 needs .* `groovemark model import musicnn`"):
        registry.load(models / "gtzan-musicnn" / "1")


def test_a_damaged_network_is_refused(imported: Path) -> None:
    path = imported / "musicnn" / "1" / "model.safetensors"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    with pytest.raises(ModelRejected, match="does not hold the expected weights"):
        registry.load(imported / "gtzan-musicnn" / "1")


def test_it_names_genres_of_what_its_network_makes_of_spectrograms(imported: Path) -> None:
    model = registry.load(imported / "gtzan-musicnn" / "1", threads=2)
    assert isinstance(model, EncodedClassifier)
    windows = np.random.default_rng(0).uniform(0, 4, size=(3, *LOG_MEL.shape))
    spectrograms = FeatureTable.of_windows(LOG_MEL, windows)
    with pytest.raises(ModelRejected, match="takes musicnn-200, these rows are log-mel"):
        model.run(spectrograms)
    embedded = model.encoder.encode(spectrograms)
    assert embedded.spec is MUSICNN_200
    answers = model.run(embedded)
    assert answers.shape == (3, 10)
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    for row in range(3):
        alone = model.encoder.encode(FeatureTable(LOG_MEL, spectrograms.numbers[row : row + 1]))
        np.testing.assert_array_equal(model.run(alone)[0], answers[row])
    model.close()


def test_its_card_and_its_manifest_say_whose_weights_it_needs_and_it_holds_none_of_them() -> None:
    folder = SHIPPED / "1"
    assert "groovemark model import musicnn" in (folder / "CARD.md").read_text()
    assert "study and research only" in json.loads((folder / "manifest.json").read_text())["licence"]
    assert {path.name for path in folder.iterdir()} == {
        "CARD.md",
        "linear.json",
        "manifest.json",
        "member-0.npz",
        "reference.json",
    }
