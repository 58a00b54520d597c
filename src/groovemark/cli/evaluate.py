"""`groovemark evaluate`: take a shipped model's figures again."""

from __future__ import annotations

from rich.console import Console
from rich.table import Table

from groovemark.cli.failing import clear_errors
from groovemark.cli.train import ModelArgument, config_path, data_folder, show_progress


def evaluate(model: ModelArgument) -> None:
    """Run a model's evaluation protocol again, from the data, and print its table of figures."""
    from groovemark.ml.train import evaluate as evaluate_model
    from groovemark.ml.train import read_dataset
    from groovemark.ml.training.card import FIGURES_HEADER, figures_rows
    from groovemark.ml.training.config import read_config

    with clear_errors():
        config = read_config(config_path(model))
        findings, _ = evaluate_model(config, read_dataset(config, data_folder()), show_progress)
    table = Table(*FIGURES_HEADER, title=f"{config.name} (95 % intervals)")
    for row in figures_rows(findings):
        table.add_row(*row)
    Console().print(table)
