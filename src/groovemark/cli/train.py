"""`groovemark train`: make a shipped model from its configuration."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated

import typer

from groovemark.cli.failing import clear_errors
from groovemark.cli.progress import show_progress
from groovemark.config import Settings

CONFIG_NAME = "train.toml"
DATA_SETTING = "GROOVEMARK_DATA"
DATA_DEFAULT = "../shared/data"

ModelArgument = Annotated[str, typer.Argument(help="Name of a model in MODEL_PATH, or the path of its train.toml.")]


def train(
    model: ModelArgument,
    checkpoints: Annotated[
        Path | None,
        typer.Option(
            file_okay=False,
            help="Keep the standing of every network in this folder, and go on from there; remove it afterwards. For "
            "the families cnn, text (where it tunes its encoder), transformer and waveform, and ensembles with one.",
        ),
    ] = None,
    track: Annotated[
        str | None,
        typer.Option(
            envvar="MLFLOW_TRACKING_URI",
            help="Record settings, figures and files in MLflow: http(s)://… of a server, or sqlite:///FILE, a database "
            "of its own.",
        ),
    ] = None,
) -> None:
    """Evaluate, fit and write a model: <version>/ beside its train.toml, with manifest, weights and card."""
    from groovemark.ml.models.overview import OVERVIEW_NAME, describe, read_speeds
    from groovemark.ml.models.registry import installed
    from groovemark.ml.train import keep_checkpoints
    from groovemark.ml.train import train as train_model
    from groovemark.ml.training.config import read_config

    with clear_errors():
        path = config_path(model)
        config = read_config(path)
        if track:
            from groovemark.ml.export.mlflow_registry import publish, require_reachable

            require_reachable(track)
        with show_progress() as progress:
            manifest = train_model(
                keep_checkpoints(config, checkpoints) if checkpoints else config,
                data_folder(),
                path.parent,
                command=f"groovemark train {model}",
                report=progress.report,
                progress=progress,
            )
        root = path.parent.parent
        (root / OVERVIEW_NAME).write_text(describe(installed(root), read_speeds(root)), encoding="utf-8")
        print(f"{manifest.full_name}: {manifest.size_bytes:,} bytes in {path.parent / manifest.version}")
        if track:
            number = publish(path.parent / manifest.version, config, track)
            print(f"{manifest.full_name}: version {number} of {manifest.name} in MLflow at {track}")


def config_path(model: str) -> Path:
    """The train.toml of a model in MODEL_PATH, or the one at the path given."""
    return Path(model) if model.endswith(".toml") else Settings().model_path / model / CONFIG_NAME


def data_folder() -> Path:
    """Where the training data is: GROOVEMARK_DATA."""
    return Path(os.environ.get(DATA_SETTING, DATA_DEFAULT))
