"""`groovemark evaluate`: how good a model is, from data that it has not seen."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from groovemark.cli.failing import clear_errors
from groovemark.cli.progress import Shown, show_progress
from groovemark.cli.train import CONFIG_NAME, config_path, data_folder
from groovemark.config import Settings
from groovemark.errors import ConfigurationError

if TYPE_CHECKING:
    from groovemark.ml.training.config import TrainingConfig
    from groovemark.ml.training.report import EvaluationReport


def evaluate(
    model: Annotated[
        str,
        typer.Argument(
            help="Name of a model in MODEL_PATH, or the path of its train.toml: its protocols are gone through again. "
            "NAME@VERSION, with --table or --robustness: the installed model itself."
        ),
    ],
    quick: Annotated[bool, typer.Option("--quick", help="The headline protocol with the first seed only.")] = False,
    data: Annotated[Path | None, typer.Option(help="Folder of training data; GROOVEMARK_DATA by default.")] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="Folder for report.json, REPORT.md and the pictures.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="NAME@VERSION of the model in use: McNemar's exact test, track by track.")
    ] = None,
    table: Annotated[
        Path | None, typer.Option(help="CSV that the installed model never saw: its columns, trackID, and a label.")
    ] = None,
    label: Annotated[str, typer.Option(help="The column of --table with the right label.")] = "genre",
    robustness: Annotated[
        bool, typer.Option("--robustness", help="Disturb audio by noise and shifts; check what train.toml claims.")
    ] = False,
    audio: Annotated[
        Path | None,
        typer.Option(
            help="Folder of audio for --robustness, labelled by the folders it lies in; gtzan/clips or audio_cc of the "
            "training data by default."
        ),
    ] = None,
) -> None:
    """Measure a model by its honest protocols, on a table, or on disturbed audio.

    Ends with exit code 1 where the model is less stable than its train.toml claims.
    """
    with clear_errors():
        subject = _subject(model)
        folder = data or data_folder()
        with show_progress() as progress:
            report = _classify(subject, folder, progress, quick=quick, against=against, table=table, label=label)
            if robustness:
                report = _disturb(subject, report, audio, folder, progress)
        if not report.classification and not report.robustness:
            raise ConfigurationError(f"{model} is an installed model: give --table or --robustness, or leave out @")
        from groovemark.cli.evaluate.showing import show, write

        show(report)
        if output:
            write(report, output)
    if not all(claim.holds for claim in report.stability):
        raise typer.Exit(1)


@dataclass(frozen=True, slots=True)
class _Subject:
    """What is evaluated: a configuration, an installed model, or both.

    Attributes:
        models: the folder of models.
        is_installed: whether the installed model was named, and not its configuration.
    """

    models: Path
    full_name: str
    config: TrainingConfig | None
    is_installed: bool


def _subject(model: str) -> _Subject:
    from groovemark.ml.training.config import read_config

    name, at, version = model.partition("@")
    if model.endswith(".toml") or not at:
        path = config_path(model)
        config = read_config(path)
        return _Subject(path.parent.parent, f"{config.name}@{config.version}", config, is_installed=False)
    root = Settings().model_path
    path = root / name / CONFIG_NAME
    known = read_config(path) if path.is_file() else None
    return _Subject(root, model, known if known and known.version == version else None, is_installed=True)


def _classify(
    subject: _Subject,
    data: Path,
    progress: Shown,
    *,
    quick: bool,
    against: str | None,
    table: Path | None,
    label: str,
) -> EvaluationReport:
    from groovemark.cli.evaluate.protocols import by_protocols
    from groovemark.cli.evaluate.table import by_table
    from groovemark.ml.training.report import EvaluationReport

    if table and not subject.is_installed:
        raise ConfigurationError(f"--table asks an installed model: groovemark evaluate {subject.full_name} --table …")
    if table:
        return by_table(subject.models, subject.full_name, table, label, against)
    if subject.config and not subject.is_installed:
        return by_protocols(subject.config, data, subject.models, against, quick=quick, progress=progress)
    if against:
        raise ConfigurationError("--against needs --table, or a configuration whose protocols both models go through")
    return EvaluationReport(subject.full_name)


def _disturb(
    subject: _Subject, report: EvaluationReport, audio: Path | None, data: Path, progress: Shown
) -> EvaluationReport:
    from groovemark.cli.evaluate.disturbed import find_audio, measure
    from groovemark.ml.training.stability import check_claims

    found = measure(subject.models, subject.full_name, find_audio(audio, data), progress)
    claims = subject.config.stability if subject.config else ()
    return replace(report, robustness=found, stability=check_claims(claims, found))
