"""An evaluation on the terminal, and in a folder."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from groovemark.ml.training.card import FIGURES_HEADER, LABEL_HEADER, label_row
from groovemark.ml.training.report import EvaluationReport
from groovemark.ml.training.report_text import (
    CONFUSION_NAME,
    CURVES_NAME,
    UNSEEN_TEXT,
    calibration_text,
    claim_rows,
    comparison_text,
    integrity_rows,
    level_rows,
    protocol_rows,
    write_report,
)

REPORT_NAME = "report.json"
TEXT_NAME = "REPORT.md"


def show(report: EvaluationReport) -> None:
    """Tables on stdout."""
    console = Console(highlight=False)
    if found := report.classification:
        console.print(_table(("check of the data", "count"), integrity_rows(found)))
        console.print(_table(FIGURES_HEADER, protocol_rows(found), f"{report.model} (95 % intervals)"))
        console.print(_table(LABEL_HEADER, map(label_row, found.per_label)))
        if not found.leaky:
            console.print(UNSEEN_TEXT)
        console.print(calibration_text(found.calibration), markup=False)
    if report.comparison:
        console.print(comparison_text(report.model, report.comparison), markup=False)
    if robustness := report.robustness:
        title = f"{report.model}, {robustness.files} files disturbed"
        console.print(_table(("disturbance", "level", "agreement", "accuracy"), level_rows(robustness), title))
    if report.stability:
        console.print(_table(("claim", "measured", "holds"), claim_rows(report.stability)))


def write(report: EvaluationReport, folder: Path) -> None:
    """report.json, REPORT.md and the pictures. Raises ConfigurationError where matplotlib is not installed."""
    from groovemark.ml.evaluation.drawing import draw_confusion, draw_curves

    folder.mkdir(parents=True, exist_ok=True)
    (folder / REPORT_NAME).write_text(report.as_json(), encoding="utf-8")
    (folder / TEXT_NAME).write_text(write_report(report), encoding="utf-8")
    if found := report.classification:
        headline = found.protocols[0]
        seeds = f", {headline.seeds} seeds together" if headline.seeds > 1 else ""
        title = f"{report.model}: {headline.name}{seeds}"
        draw_confusion(folder / CONFUSION_NAME, np.array(found.confusion), found.labels, title)
    if report.robustness:
        draw_curves(
            folder / CURVES_NAME, report.robustness, f"{report.model}: {report.robustness.files} files disturbed"
        )


def _table(header: Iterable[str], rows: Iterable[Iterable[str]], title: str = "") -> Table:
    table = Table(*header, title=title or None)
    for row in rows:
        table.add_row(*map(escape, row))
    return table
