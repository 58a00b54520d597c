"""`groovemark train`: make a shipped model from its configuration."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Annotated

import typer

from groovemark.errors import ServiceError

DATA_SETTING = "GROOVEMARK_DATA"
DATA_DEFAULT = "../shared/data"


def train(
    config: Annotated[Path, typer.Argument(help="train.toml of the model; the artifact goes beside it.")],
) -> None:
    """Evaluate, fit and write a model: model/<name>/<version>/ with manifest, weights and card."""
    from groovemark.ml.models.overview import OVERVIEW_NAME, describe
    from groovemark.ml.models.registry import installed
    from groovemark.ml.train import train as train_model
    from groovemark.ml.training.config import read_config

    try:
        manifest = train_model(
            read_config(config),
            data_folder(),
            config.parent,
            command=f"groovemark train {config.as_posix()}",
            report=show_progress,
        )
        root = config.parent.parent
        (root / OVERVIEW_NAME).write_text(describe(installed(root)), encoding="utf-8")
    except ServiceError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from error
    print(f"{manifest.full_name}: {manifest.size_bytes:,} bytes in {config.parent / manifest.version}")


def data_folder() -> Path:
    """Where the training data is: GROOVEMARK_DATA."""
    return Path(os.environ.get(DATA_SETTING, DATA_DEFAULT))


def show_progress(line: str) -> None:
    """One line on stderr, so that stdout stays the result."""
    print(line, file=sys.stderr, flush=True)
