"""`groovemark prepare`: read a model's training data, extract its features, and say what they are."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from groovemark.cli.failing import clear_errors
from groovemark.cli.progress import show_progress
from groovemark.cli.train import ModelArgument, config_path, data_folder


def prepare(
    model: ModelArgument,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="File to write instead of printing.")] = None,
) -> None:
    """Read and check the data that a model is trained on; features of audio are kept for the training.

    The fingerprint (sha256) in the answer changes with anything a model could learn from.
    """
    from groovemark.ml.datasets.description import describe
    from groovemark.ml.train import read_dataset
    from groovemark.ml.training.config import read_config

    with clear_errors():
        path = config_path(model)
        config = read_config(path)
        with show_progress() as progress:
            dataset = read_dataset(config, data_folder(), path.parent.parent, report=progress.report, progress=progress)
        text = json.dumps(describe(dataset), indent=2, ensure_ascii=False) + "\n"
        if output:
            output.parent.mkdir(parents=True, exist_ok=True)
            output.write_text(text, encoding="utf-8")
        else:
            print(text, end="")
