"""Models in a real MLflow: its own database file, its own registry, no server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest
from tiny_data import CONFIG as FILE
from tiny_data import tiny_config, write_tiny_data
from typer.testing import CliRunner

from groovemark.cli import app
from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.export.mlflow_registry import fetch, publish
from groovemark.ml.models import registry
from groovemark.ml.train import train

os.environ["MLFLOW_DISABLE_TELEMETRY"] = "true"  # before it is imported: tests tell its makers nothing either
mlflow = pytest.importorskip("mlflow")

CONFIG = tiny_config("fma", variants=())


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that holds tiny-fma@1."""
    root = tmp_path_factory.mktemp("tracked")
    data = write_tiny_data(root / "data")
    train(CONFIG, data, root / "model" / CONFIG.name, command="groovemark train tiny-fma", report=lambda _: None)
    return root / "model"


@pytest.fixture(scope="module")
def uri(models: Path, tmp_path_factory: pytest.TempPathFactory) -> str:
    """An MLflow in which it was registered, as version 1."""
    uri = f"sqlite:///{tmp_path_factory.mktemp('mlflow')}/own/mlflow.db"
    assert publish(models / CONFIG.name / "1", CONFIG, uri) == "1"
    return uri


def client(uri: str) -> Any:
    return mlflow.MlflowClient(uri, uri)


def test_the_run_has_the_settings_and_the_figures_of_the_card(models: Path, uri: str) -> None:
    (experiment,) = client(uri).search_experiments(filter_string="name = 'groovemark genre'")
    (run,) = client(uri).search_runs([experiment.experiment_id])
    manifest = registry.installed(models)[0]
    assert run.data.metrics == manifest.metrics
    assert run.data.params["settings.rounds_max"] == "4"
    assert run.data.params["protocol.seeds"] == "(0,)"
    assert run.data.tags["groovemark.model"] == "tiny-fma@1"
    assert run.info.status == "FINISHED"


def test_a_model_that_is_trained_again_is_the_next_version(models: Path, uri: str) -> None:
    assert int(publish(models / CONFIG.name / "1", CONFIG, uri)) > 1


@pytest.mark.parametrize("version", ["1", "in-use"])
def test_a_registered_model_comes_back_with_every_byte(models: Path, uri: str, tmp_path: Path, version: str) -> None:
    client(uri).set_registered_model_alias(CONFIG.name, "in-use", "1")
    assert fetch(tmp_path, uri, CONFIG.name, version).full_name == "tiny-fma@1"
    before, after = (
        {path.name: path.read_bytes() for path in (folder / CONFIG.name / "1").iterdir()}
        for folder in (models, tmp_path)
    )
    assert after == before
    assert registry.load(tmp_path / CONFIG.name / "1").spec.full_name == "tiny-fma@1"


def test_a_registered_model_that_was_changed_is_refused_and_what_stood_there_stays(uri: str, tmp_path: Path) -> None:
    fetch(tmp_path, uri, CONFIG.name, "1")
    run_id = client(uri).get_model_version(CONFIG.name, "1").run_id
    artifacts = Path(client(uri).get_run(run_id).info.artifact_uri.removeprefix("file://")) / "model"
    (weights,) = artifacts.glob("member-0-seed-0.txt")
    text = weights.read_text()
    weights.write_text(text.replace("leaf_value=", "leaf_value=9", 1))
    with pytest.raises(ModelRejected, match=r"member-0-seed-0\.txt"):
        fetch(tmp_path, uri, CONFIG.name, "1")
    weights.write_text(text)
    assert registry.load(tmp_path / CONFIG.name / "1").spec.full_name == "tiny-fma@1"
    assert [path.name for path in (tmp_path / CONFIG.name).iterdir()] == ["1"]


def test_a_file_that_the_manifest_does_not_name_is_left_where_it_is(uri: str, tmp_path: Path) -> None:
    run_id = client(uri).get_model_version(CONFIG.name, "1").run_id
    artifacts = Path(client(uri).get_run(run_id).info.artifact_uri.removeprefix("file://")) / "model"
    (artifacts / "python_model.pkl").write_bytes(b"cos\nsystem\n")
    fetch(tmp_path, uri, CONFIG.name, "1")
    (artifacts / "python_model.pkl").unlink()
    assert not (tmp_path / CONFIG.name / "1" / "python_model.pkl").exists()


@pytest.mark.parametrize(
    ("name", "version", "complaint"), [("tiny-fma", "99", "99"), ("other", "1", "other"), ("tiny-fma", "best", "best")]
)
def test_what_is_not_registered_is_named(uri: str, tmp_path: Path, name: str, version: str, complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        fetch(tmp_path, uri, name, version)


@pytest.mark.parametrize("uri", ["postgresql://user:pw@host/groovemark", "mlruns", ""])
def test_only_a_server_or_a_database_of_its_own_is_tracked_to(models: Path, uri: str) -> None:
    """MLflow and groovemark both keep a table alembic_version: in one database they would undo each other's schema."""
    with pytest.raises(ConfigurationError, match="http"):
        publish(models / CONFIG.name / "1", CONFIG, uri)


def test_a_server_that_does_not_answer_is_one_clear_line(models: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    with pytest.raises(ConfigurationError, match=r"127\.0\.0\.1:9"):
        publish(models / CONFIG.name / "1", CONFIG, "http://127.0.0.1:9")


def test_a_training_that_cannot_be_tracked_does_not_begin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It was refused when it was done."""
    monkeypatch.setenv("MLFLOW_HTTP_REQUEST_MAX_RETRIES", "0")
    (tmp_path / "small").mkdir()
    (tmp_path / "small" / "train.toml").write_text(FILE)
    places = {"MODEL_PATH": str(tmp_path), "GROOVEMARK_DATA": "nowhere"}
    done = CliRunner().invoke(app, ["train", "small", "--track", "http://127.0.0.1:9"], env=places)
    assert done.exit_code == 1
    assert done.stderr.startswith("groovemark: MLflow at http://127.0.0.1:9: ")
    assert not (tmp_path / "small" / "1").exists()


def test_a_training_that_was_tracked_is_brought_into_another_folder_of_models_by_one_command(
    models: Path, uri: str, tmp_path: Path
) -> None:
    (tmp_path / "model" / "small").mkdir(parents=True)
    (tmp_path / "model" / "small" / "train.toml").write_text(FILE)
    places = {"GROOVEMARK_DATA": str(models.parent / "data"), "MODEL_PATH": str(tmp_path / "model")}
    trained = CliRunner().invoke(app, ["train", "small", "--track", uri], env=places)
    assert trained.exit_code == 0, trained.output
    assert f"small@1: version 1 of small in MLflow at {uri}" in trained.stdout

    elsewhere = {"MODEL_PATH": str(tmp_path / "elsewhere"), "MLFLOW_TRACKING_URI": uri}
    fetched = CliRunner().invoke(app, ["model", "import", "mlflow", "small", "1"], env=elsewhere)
    assert fetched.exit_code == 0, fetched.output
    assert fetched.stdout.startswith("small@1: ")
    before, after = (
        {path.name: path.read_bytes() for path in (tmp_path / root / "small" / "1").iterdir()}
        for root in ("model", "elsewhere")
    )
    assert after == before

    absent = CliRunner().invoke(app, ["model", "import", "mlflow", "small", "9"], env=elsewhere)
    assert absent.exit_code == 1
    assert absent.stderr.startswith(f"groovemark: MLflow at {uri}: ")
    assert absent.stderr.count("\n") == 1
