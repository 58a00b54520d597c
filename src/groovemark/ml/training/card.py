"""CARD.md: what a model is, written from the figures of the run that made it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from groovemark.ml.datasets.integrity import Integrity
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.metrics import Figure, LabelFigures
from groovemark.ml.training.config import TrainingConfig


@dataclass(frozen=True)
class Scored:
    """The figures of one protocol."""

    name: str
    tracks: int
    figures: Mapping[str, Figure]


@dataclass(frozen=True)
class Findings:
    """All that a run measured.

    Attributes:
        honest: the protocols that keep groups apart, the headline first.
        careless: the same settings on rows drawn at random.
        variants: the headline protocol with other settings and no search, first seed only; the first is the base.
        labels: per-label figures of the headline protocol.
        chosen: what the search chose in each round of the headline protocol.
    """

    honest: Sequence[Scored]
    careless: Scored
    variants: Sequence[Scored]
    labels: Sequence[LabelFigures]
    chosen: Sequence[Mapping[str, Any]]
    integrity: Integrity


FIGURES_HEADER = ("protocol", "tracks", "accuracy", "macro-F1", "calibration error (ECE)")
LABEL_HEADER = ("label", "tracks", "precision", "recall", "F1")
LEAKY_TEXT = (
    "The last line is what a careless evaluation would have reported: it lets artists, albums or duplicates stand on "
    "both sides and so measures memory of them as well. It is no promise. Where it is no higher than the honest line, "
    "this data gave no such help."
)


def figures_rows(findings: Findings) -> list[tuple[str, ...]]:
    """The main table, honest protocols first, the careless one last."""
    return [_figures_row(scored) for scored in (*findings.honest, findings.careless)]


def write_card(config: TrainingConfig, dataset: Dataset, findings: Findings, rows: int, command: str) -> str:
    """The Markdown text of CARD.md.

    Args:
        rows: how many tracks the shipped model was fitted on.
    """
    headline = findings.honest[0]
    parts = [
        f"# {config.name} (version {config.version})",
        (
            f"{config.title}. Family: {config.family} (LightGBM). Features: {dataset.table.spec.name}. "
            f"Labels: {', '.join(dataset.labels)}. Model licence: {config.licence}."
        ),
        "## Data",
        f"{dataset.source}. Licence of the data: {dataset.licence}. Groups: {dataset.grouping}.",
        _table(("check", "count"), _integrity_rows(findings.integrity)),
        "## Figures",
        _protocol_text(config, dataset),
        _table(FIGURES_HEADER, figures_rows(findings)),
        LEAKY_TEXT,
        f"Per label, {headline.name}, all seeds together:",
        _table(LABEL_HEADER, [_label_row(figures) for figures in findings.labels]),
        "## What was tried",
        _tried_text(config, headline.name),
        _table(FIGURES_HEADER, [_figures_row(scored) for scored in findings.variants]),
        *([config.notes.strip()] if config.notes else []),
        _chosen_text(config, findings.chosen),
        "## What ships",
        _shipped_text(config, rows),
        "## To reproduce",
        f"```\n{command}\n```",
        (
            "With the training data in the folder that `GROOVEMARK_DATA` names. The same machine gives the same bytes. "
            f"`groovemark evaluate {config.name}` takes the figures again."
        ),
    ]
    return "\n\n".join(parts) + "\n"


def _integrity_rows(integrity: Integrity) -> list[tuple[str, str]]:
    return [(name.replace("_", " "), str(count)) for name, count in asdict(integrity).items()]


def _protocol_text(config: TrainingConfig, dataset: Dataset) -> str:
    protocol = config.protocol
    outer = (
        "the published lists decide which tracks train and which score"
        if dataset.splits
        else f"{protocol.folds} folds, every track scored once a seed by a model that saw none of its group"
    )
    inner = (
        "the other published lists of the training side (for the 443/197/290 split: its 197, after which the model "
        "is fitted on both)"
        if dataset.splits
        else f"{protocol.inner_folds} grouped folds of the training side"
    )
    return (
        f"Protocol: {outer}. Settings, number of trees and temperature are chosen on {inner}; the scoring side is "
        f"seen once, by the finished model. {len(protocol.seeds)} seeds, averaged. Intervals: 95 %, bootstrap over "
        "groups. The ideas behind the features were compared on the same data, so a little optimism remains."
    )


def _shipped_text(config: TrainingConfig, rows: int) -> str:
    if config.ship == "folds":
        return (
            f"The {config.protocol.folds} fold models of seed {config.protocol.seeds[0]}, each calibrated on its own "
            f"inner folds, their probabilities averaged; together they have seen all {rows} tracks. The figures above "
            "are those of single fold models on tracks that they never saw, not of the average."
        )
    return (
        f"One more fit by the same procedure on all {rows} usable tracks (published lists without faults and without "
        "exact duplicates where there are such lists, else every track). The figures above belong to the protocol, "
        "not to this refit, which no unseen track is left to measure."
    )


def _tried_text(config: TrainingConfig, protocol: str) -> str:
    exception = " unless its name says so" if any(variant.trials for variant in config.variants) else ""
    return (
        f"{protocol}, first seed only, one booster a member, without search{exception}. The first line is the base; "
        "each of the others changes what its name says. Differences well inside the intervals mean nothing."
    )


def _chosen_text(config: TrainingConfig, chosen: Sequence[Mapping[str, Any]]) -> str:
    names = list(chosen[0])
    trials = config.search.trials
    searched = (
        f"Search: {trials} settings a round (optuna), chosen by log loss on the inner folds."
        if trials
        else "The settings are those of train.toml, the same in every round; the inner folds chose what is below."
    )
    intro = f"{searched} Chosen in each round of the first seed:"
    rows = [(str(number + 1), *(_short(entry[name]) for name in names)) for number, entry in enumerate(chosen)]
    return intro + "\n\n" + _table(("round", *(name.replace("_", " ") for name in names)), rows)


def _figures_row(scored: Scored) -> tuple[str, ...]:
    return (scored.name, str(scored.tracks), *(_interval(figure) for figure in scored.figures.values()))


def _label_row(figures: LabelFigures) -> tuple[str, ...]:
    rates = (figures.precision, figures.recall, figures.f1)
    return (figures.label, str(figures.tracks), *(f"{rate:.3f}" for rate in rates))


def _interval(figure: Figure) -> str:
    return f"{figure.value:.3f} ({figure.low:.3f} to {figure.high:.3f})"


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)


def _table(header: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    names = list(header)
    lines = [names, ["---"] * len(names), *(list(row) for row in rows)]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
