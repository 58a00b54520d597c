from __future__ import annotations

from pathlib import Path

import pytest
import typer
from tiny_data import CONFIG, write_tiny_audio, write_tiny_data
from typer.testing import CliRunner

from groovemark.cli.evaluate import evaluate
from groovemark.cli.train import train
from groovemark.ml.models import registry

CNN_CONFIG = """
name = "small"
version = "1"
title = "A small network"
family = "cnn"
task = "genre"
dataset = "gtzan-audio"
features = "mfcc-segments"
created = "2026-01-01"
licence = "MIT"
ship = "all"
bag = 1
protocol = { folds = 2, inner_folds = 2, seeds = [0] }
settings = { channels = [3], pool = [4, 4], epochs = 2 }
"""


@pytest.fixture
def app(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> typer.Typer:
    monkeypatch.setenv("GROOVEMARK_DATA", str(write_tiny_data(tmp_path / "data")))
    monkeypatch.setenv("MODEL_PATH", "model")
    monkeypatch.chdir(tmp_path)
    (tmp_path / "model" / "small").mkdir(parents=True)
    (tmp_path / "model" / "small" / "train.toml").write_text(CONFIG)
    app = typer.Typer()
    app.command()(train)
    app.command()(evaluate)
    return app


def test_train_writes_a_model_that_loads_beside_its_configuration(app: typer.Typer, tmp_path: Path) -> None:
    result = CliRunner().invoke(app, ["train", "model/small/train.toml"])
    assert result.exit_code == 0, result.output
    assert "small@1" in result.stdout
    assert registry.load(tmp_path / "model" / "small" / "1").spec.full_name == "small@1"
    assert "small@1" in (tmp_path / "model" / "README.md").read_text()


def test_a_network_is_not_taught_again_where_its_checkpoints_are_kept(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_tiny_audio(tmp_path / "data")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "model" / "small" / "train.toml").write_text(CNN_CONFIG)
    epochs, contents = [], []
    for _ in range(2):
        result = CliRunner().invoke(app, ["train", "small", "--checkpoints", "standing"])
        assert result.exit_code == 0, result.output
        epochs.append(result.stderr.count(": epoch "))
        contents.append({path.name: path.read_bytes() for path in (tmp_path / "model" / "small" / "1").iterdir()})
    kept = list((tmp_path / "standing").iterdir())
    assert epochs == [2 * len(kept), 0]
    assert contents[0] == contents[1]
    assert b"standing" not in contents[0]["CARD.md"] + contents[0]["manifest.json"]


@pytest.mark.parametrize("family", ["boosting", "forest", "kernel", "linear"])
def test_checkpoints_of_what_is_not_taught_in_epochs_are_refused_before_anything_is_read(
    app: typer.Typer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, family: str
) -> None:
    monkeypatch.setenv("GROOVEMARK_DATA", "nowhere")
    (tmp_path / "model" / "small" / "train.toml").write_text(CONFIG.replace('"boosting"', f'"{family}"'))
    result = CliRunner().invoke(app, ["train", "small", "--checkpoints", "kept"])
    assert result.exit_code == 1
    assert result.stderr == (
        f"groovemark: nothing of the family {family} is taught in epochs: leave --checkpoints out, which is for cnn, "
        "text, transformer, waveform\n"
    )


def test_evaluate_prints_honest_and_leaky_figures(app: typer.Typer) -> None:
    result = CliRunner().invoke(app, ["evaluate", "small"], env={"COLUMNS": "160"})
    assert result.exit_code == 0, result.output
    assert "grouped 2-fold" in result.stdout
    assert "leaky" in result.stdout


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('"boosting"', '"forestry"', "no family 'forestry'"),
        ("rounds_max", "rounds_most", "no setting 'rounds_most'"),
        ("bag = 1", "bag = 1\nsearch = { trials = 1, ranges = { tag_scores = [0, 1] } }", "cannot be searched"),
        ('version = "1"', 'version = "../1"', "plain names"),
    ],
)
def test_wrong_configuration_ends_with_one_clear_line(
    app: typer.Typer, tmp_path: Path, old: str, new: str, complaint: str
) -> None:
    path = tmp_path / "model" / "small" / "train.toml"
    path.write_text(CONFIG.replace(old, new))
    result = CliRunner().invoke(app, ["train", "model/small/train.toml"])
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
