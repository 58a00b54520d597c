"""Models in MLflow: a run with the settings and figures, and a registered version with the artifact's files.

What is registered are the files as they stand in the folder of models. MLflow's own way to keep a model would pickle
Python objects; here nothing is ever unpickled, and a model that is taken back is read with the same distrust as any.
"""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import MANIFEST_NAME, Manifest, read_manifest, replacing, verify_files
from groovemark.ml.training.config import TrainingConfig

ARTIFACT = "model"
"""The folder of a run's artifacts in which the model's files lie."""
PARAMETER_CHARACTERS_MAX = 500
SQLITE = "sqlite:///"


def require_reachable(uri: str) -> None:
    """Raises ConfigurationError where `publish` would: asked before hours of training, and not after."""
    with _client(uri) as client:
        client.search_experiments(max_results=1)


def publish(folder: Path, config: TrainingConfig, uri: str) -> str:
    """Record the training of the model in `folder` as a run, and its files as the next version of its name.

    Args:
        folder: model/<name>/<version>, as `ml.train.train` wrote it.
        uri: of an MLflow server, http(s)://…, or of a database file of MLflow's own, sqlite:///….

    Returns:
        The version's number in the registry.

    Raises ConfigurationError where MLflow is not installed, or cannot be reached.
    """
    manifest = read_manifest(folder)
    identity = {
        "groovemark.model": manifest.full_name,
        "groovemark.family": manifest.family,
        "groovemark.features_sha256": manifest.features_sha256,
        "groovemark.manifest_sha256": hashlib.sha256((folder / MANIFEST_NAME).read_bytes()).hexdigest(),
    }
    with _client(uri) as client:
        run = client.create_run(
            _experiment(client, f"groovemark {manifest.task}", uri), run_name=manifest.full_name, tags=identity
        )
        run_id = run.info.run_id
        for name, value in _parameters(config).items():
            client.log_param(run_id, name, value)
        for name, figure in manifest.metrics.items():
            client.log_metric(run_id, name, figure)
        client.log_artifacts(run_id, str(folder), ARTIFACT)
        client.set_terminated(run_id)
        if not client.search_registered_models(f"name = '{manifest.name}'"):
            client.create_registered_model(manifest.name, description=manifest.title)
        version = client.create_model_version(
            manifest.name, f"{run.info.artifact_uri}/{ARTIFACT}", run_id, tags=identity, description=manifest.title
        )
    return str(version.version)


def fetch(models: Path, uri: str, name: str, version: str) -> Manifest:
    """Take a registered model into the folder of models, replacing what stood there under its name and version.

    Args:
        version: its number in MLflow's registry, or one of its aliases. The name@version that groovemark knows it by
            is the one of its manifest.

    Raises:
        ConfigurationError: MLflow is not installed, cannot be reached, or has no such version.
        ModelRejected: what is registered is no model of groovemark's, or was changed.
    """
    with _client(uri) as client, TemporaryDirectory() as place:
        found = (
            client.get_model_version(name, version)
            if version.isdecimal()
            else client.get_model_version_by_alias(name, version)
        )
        if not found.run_id:
            raise ModelRejected(f"version {version} of {name} was not registered by groovemark: it has no run")
        downloaded = Path(client.download_artifacts(found.run_id, ARTIFACT, place))
        manifest = read_manifest(downloaded)
        if manifest.name != name:
            raise ModelRejected(f"what is registered as {name} calls itself {manifest.full_name}")
        verify_files(downloaded, manifest)
        with replacing(models / manifest.name / manifest.version) as building:
            for file in (MANIFEST_NAME, *manifest.files):  # and nothing that the manifest does not know
                shutil.copyfile(downloaded / file, building / file)
            registry.load(building)
    return manifest


def _parameters(config: TrainingConfig) -> dict[str, str]:
    """Every entry of train.toml that leads to other weights, by its dotted name."""
    entries = {name: value for name, value in asdict(config).items() if name not in ("notes", "title", "variants")}
    entries["members"] = ", ".join(f"{member.name}@{member.version}" for member in config.members)
    return {
        name: str(value)[:PARAMETER_CHARACTERS_MAX] for name, value in _flattened(entries) if value not in ("", (), {})
    }


def _flattened(entries: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in entries.items():
        if isinstance(value, Mapping) and value:
            yield from _flattened(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value


def _experiment(client: Any, name: str, uri: str) -> str:
    found = client.get_experiment_by_name(name)
    if found is not None:
        return str(found.experiment_id)
    # MLflow would put the files wherever the program was started.
    location = (_database_file(uri).parent / "mlartifacts").as_uri() if uri.startswith(SQLITE) else None
    return str(client.create_experiment(name, location))


def _database_file(uri: str) -> Path:
    return Path(uri.removeprefix(SQLITE)).absolute()


@contextmanager
def _client(uri: str) -> Iterator[Any]:
    """MLflow's client, with its errors as ours."""
    if not uri.startswith(("http://", "https://", SQLITE)):
        raise ConfigurationError(f"'{uri}' must be http(s)://… of an MLflow server, or sqlite:///FILE")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")  # it would tell its makers of every run
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ModuleNotFoundError as error:
        raise ConfigurationError("tracking needs mlflow: pip install '.[tracking]'") from error
    try:
        if uri.startswith(SQLITE):
            _database_file(uri).parent.mkdir(parents=True, exist_ok=True)
        yield MlflowClient(uri, uri)
    except MlflowException as error:
        raise ConfigurationError(f"MLflow at {uri}: {error.message}") from error
    except OSError as error:
        raise ConfigurationError(f"MLflow at {uri}: {error}") from error
