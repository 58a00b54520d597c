"""Evaluating an installed model on a labelled table that it never saw."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.cli.evaluate.installed import load_installed
from groovemark.errors import FAULTS_MAX, ConfigurationError, Fault, InputRejected, shorten
from groovemark.ingest.csv import Block, CsvLimits, open_csv
from groovemark.ingest.header import ID_COLUMNS
from groovemark.ml.datasets import Dataset
from groovemark.ml.datasets.table import number_groups
from groovemark.ml.evaluation.mcnemar import mcnemar
from groovemark.ml.features.spec import TITLE, Column
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import Classifier
from groovemark.ml.training.report import TABLE_PROTOCOL, Comparison, EvaluationReport, of_table

FAULTS_SHOWN = 5


def by_table(models: Path, full_name: str, path: Path, label: str, against: str | None) -> EvaluationReport:
    """Ask the model, and with `against` another one, for every row of the CSV that lacks no cell.

    Raises InputRejected naming line and column of what is wrong.
    """
    model = load_installed(models, full_name)
    dataset, lines, left_out = read_labelled(path, model, label)
    answers = model.run(dataset.table).astype(np.float64)
    comparison = None
    if against:
        other = load_installed(models, against)
        others, other_lines, _ = read_labelled(path, other, label)
        theirs = other.run(others.table).argmax(axis=1) == others.targets
        _, own_rows, other_rows = np.intersect1d(lines, other_lines, return_indices=True)
        right = answers.argmax(axis=1) == dataset.targets
        test = mcnemar(right[own_rows], theirs[other_rows])
        comparison = Comparison(other.spec.full_name, TABLE_PROTOCOL, test)
    return EvaluationReport(
        full_name,
        classification=of_table(dataset, answers, rows_left_out=left_out),
        comparison=comparison,
    )


def read_labelled(path: Path, model: Classifier, label: str) -> tuple[Dataset, NDArray[np.int64], int]:
    """The rows with their labels, the line of each, and how many rows were left out because a cell is empty."""
    spec = model.spec.features
    if not spec.columns or model.spec.other_features or model.spec.is_multi_label:
        raise ConfigurationError(f"{model.spec.full_name} does not give one label for a row of a table")
    if label in (*ID_COLUMNS, TITLE, *(column.name for column in spec.columns)):
        raise ConfigurationError(f"the column {label} holds no labels: {model.spec.full_name} takes it as what it is")
    labelled = replace(spec, columns=(*spec.columns, Column(label, "text")))
    try:
        blocks = list(open_csv(path, specs=labelled, limits=CsvLimits()).blocks())
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    _reject(path, [fault for block in blocks for fault in (*block.faults, *_unknown(block, label, model.spec.labels))])
    rows = [block for block in blocks if len(block.features)]
    if not rows:
        raise InputRejected(f"{path} has no row without empty cells")
    numbers = np.concatenate([block.features.numbers for block in rows])
    texts = {name: [cell for block in rows for cell in block.features.texts[name]] for name in rows[0].features.texts}
    names = texts.pop(label)
    ids = [external_id for block in rows for external_id in block.external_ids]
    dataset = Dataset(
        name=path.stem,
        table=FeatureTable(spec, numbers, texts),
        ids=tuple(ids),
        labels=model.spec.labels,
        targets=np.array([model.spec.labels.index(name) for name in names], dtype=np.int64),
        groups=number_groups(ids),
        grouping="rows of one id",
        source=f"{path.name}, labelled by its column {label}",
        licence="not known",
    )
    return dataset, np.concatenate([block.lines for block in rows]), sum(block.rows_missing for block in blocks)


def _unknown(block: Block, label: str, labels: Sequence[str]) -> list[Fault]:
    known = ", ".join(labels)
    return [
        Fault("unknown_label", f"'{shorten(name)}' is none of the model's labels ({known})", line=line, column=label)
        for line, name in zip(block.lines.tolist(), block.features.texts[label], strict=True)
        if name not in labels
    ]


def _reject(path: Path, faults: Sequence[Fault]) -> None:
    if not faults:
        return
    shown = "; ".join(
        f"line {fault.line}{f', column {fault.column}' if fault.column else ''}: {fault.message}"
        for fault in sorted(faults, key=lambda fault: fault.line or 0)[:FAULTS_SHOWN]
    )
    more = f"; and {len(faults) - FAULTS_SHOWN} more" if len(faults) > FAULTS_SHOWN else ""
    raise InputRejected(f"{path}: {shown}{more}", faults=faults[:FAULTS_MAX])
