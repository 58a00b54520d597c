"""`groovemark evaluate`: take a shipped model's figures again."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from groovemark.cli.train import data_folder, show_progress
from groovemark.errors import ServiceError

CONFIG_NAME = "train.toml"


def evaluate(
    model: Annotated[str, typer.Argument(help="Name of a model, or the path of its train.toml.")],
    root: Annotated[Path, typer.Option(help="Folder of the models.")] = Path("model"),
) -> None:
    """Run a model's evaluation protocol again, from the data, and print its table of figures."""
    from groovemark.ml.train import evaluate as evaluate_model
    from groovemark.ml.train import read_dataset
    from groovemark.ml.training.card import FIGURES_HEADER, figures_rows
    from groovemark.ml.training.config import read_config

    path = Path(model) if model.endswith(".toml") else root / model / CONFIG_NAME
    try:
        config = read_config(path)
        findings, _ = evaluate_model(config, read_dataset(config, data_folder()), show_progress)
    except ServiceError as error:
        typer.echo(error.message, err=True)
        raise typer.Exit(1) from error
    table = Table(*FIGURES_HEADER, title=f"{config.name} (95 % intervals)")
    for row in figures_rows(findings):
        table.add_row(*row)
    Console().print(table)
