from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import soundfile
import typer
from pydantic import TypeAdapter
from sounds import SAMPLE_RATE, synthesize
from tiny_data import CONFIG, write_tiny_data
from typer.testing import CliRunner, Result

from groovemark.cli.evaluate import evaluate
from groovemark.ml.train import train
from groovemark.ml.training.config import read_config
from groovemark.ml.training.report import EvaluationReport

CLAIM = """
[[stability]]
disturbance = "noise"
level = 1
agreement = 1.0
"""
SHIPPED = Path(__file__).parents[3] / "model"
PNG = b"\x89PNG\r\n"


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Data, a model of them, and one of those that ship, which takes audio as well."""
    home = tmp_path_factory.mktemp("home")
    write_tiny_data(home / "data")
    path = home / "model" / "small" / "train.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    train(read_config(path), home / "data", path.parent, command="test", report=lambda _: None)
    shutil.copytree(SHIPPED / "gtzan-10", home / "model" / "gtzan-10")
    sounds = home / "sounds" / "disco"
    sounds.mkdir(parents=True)
    soundfile.write(sounds / "one.wav", synthesize("music", 1.5), SAMPLE_RATE)
    return home


@pytest.fixture(autouse=True)
def _at_home(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GROOVEMARK_DATA", str(home / "data"))
    monkeypatch.setenv("MODEL_PATH", "model")
    monkeypatch.setenv("COLUMNS", "160")
    monkeypatch.chdir(home)


def run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(evaluate)
    return CliRunner().invoke(app, list(arguments))


def test_report_has_every_figure_and_both_pictures(tmp_path: Path) -> None:
    result = run("small", "--quick", "-o", str(tmp_path), "--against", "small@1")
    assert result.exit_code == 0, result.output
    assert "temperature" in result.stdout
    content = json.loads((tmp_path / "report.json").read_text())
    assert content.pop("format") == 1
    report = TypeAdapter(EvaluationReport).validate_python(content)
    found = report.classification
    assert found is not None
    assert found.leaky is not None
    assert [entry.shared_groups for entry in found.protocols] == [0]
    assert found.leaky.shared_groups > 0
    assert np.sum(found.confusion) == found.protocols[0].tracks == 72
    assert set(found.protocols[0].figures) == {"accuracy", "macro_f1", "weighted_f1", "calibration_error"}
    assert report.comparison is not None
    assert (report.comparison.test.tracks, report.comparison.test.p_value) == (72, 1.0)
    assert (tmp_path / "confusion.png").read_bytes().startswith(PNG)
    text = (tmp_path / "REPORT.md").read_text()
    for part in ("leaky", "groups on both sides, honest protocols | 0", "McNemar", "confusion.png", "out of range"):
        assert part in text


def test_installed_model_is_asked_for_a_table_and_compared_on_it(home: Path, tmp_path: Path) -> None:
    table = "data/fma/features_train4000.csv"
    result = run("small@1", "--table", table, "--against", "small@1", "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    assert "honest only where" in result.stdout
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["classification"]["protocols"][0]["tracks"] == 72
    assert content["classification"]["leaky"] is None
    assert content["comparison"]["test"]["only_candidate_right"] == 0


def test_wrong_cells_of_a_table_are_named_by_line_and_column(home: Path, tmp_path: Path) -> None:
    header, first, second, *rest = (home / "data" / "fma" / "features_train4000.csv").read_text().splitlines()
    cells = first.split(",")
    cells[2] = "loud"
    lines = [header, ",".join(cells), second.rsplit(",", 1)[0] + ",polka", *rest]
    (tmp_path / "table.csv").write_text("\n".join(lines) + "\n")
    result = run("small@1", "--table", str(tmp_path / "table.csv"))
    assert result.exit_code == 1
    assert "line 2, column mfcc_2: 'loud'" in result.stderr
    assert "line 3, column genre: 'polka' is none of the model's labels (folk, metal, pop)" in result.stderr


def test_rows_that_lack_a_cell_are_left_out_and_counted(home: Path, tmp_path: Path) -> None:
    header, first, *rest = (home / "data" / "fma" / "features_train4000.csv").read_text().splitlines()
    (tmp_path / "table.csv").write_text("\n".join([header, first.rsplit(",", 1)[0] + ",", *rest]) + "\n")
    result = run("small@1", "--table", str(tmp_path / "table.csv"), "-o", str(tmp_path))
    assert result.exit_code == 0, result.output
    found = json.loads((tmp_path / "report.json").read_text())["classification"]
    assert (found["rows_left_out"], found["integrity"]["tracks"]) == (1, 71)


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["small@1"], "give --table or --robustness"),
        (["small@2", "--table", "x.csv"], "there is no model small@2"),
        (["small@1", "--table", "none.csv"], "none.csv cannot be read"),
        (["small@1", "--table", "data/fma/features_train4000.csv", "--label", "tempo"], "holds no labels"),
        (["small", "--table", "x.csv"], "asks an installed model"),
        (["small", "--against", "small@7"], "not small@7"),
        (["small", "--against", "gtzan-10@1"], "with no id in common"),
        (["small@1", "--robustness", "--audio", "data/fma"], "there are no audio files"),
    ],
)
def test_what_cannot_be_evaluated_ends_with_one_clear_line(arguments: list[str], complaint: str) -> None:
    result = run(*arguments)
    assert result.exit_code == 1
    assert complaint in result.stderr.splitlines()[-1]


def test_model_that_is_less_stable_than_it_claims_fails(
    home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The noise is several times as loud as the music."""
    path = home / "model" / "gtzan-10" / "train.toml"
    path.write_text(path.read_text() + CLAIM)
    monkeypatch.setattr("groovemark.ml.evaluation.robustness.LEVELS", {"noise": (1.0,), "shift": (0.2,)})
    result = run("gtzan-10@1", "--robustness", "--audio", "sounds", "-o", str(tmp_path))
    assert result.exit_code == 1, result.output
    assert "NO" in result.stdout
    content = json.loads((tmp_path / "report.json").read_text())
    assert content["stability"][-1] == {
        "claim": {"disturbance": "noise", "level": 1, "agreement": 1.0},
        "agreement": 0.0,
        "holds": False,
    }
    assert content["robustness"]["labelled"] == 1
    assert (tmp_path / "robustness.png").read_bytes().startswith(PNG)
