"""CARD.md: what a model is, written from the figures of the run that made it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from groovemark.ml.datasets.integrity import Integrity
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.metrics import Figure, LabelFigures
from groovemark.ml.training.config import TrainingConfig
from groovemark.ml.training.markdown import interval, table
from groovemark.ml.training.search import Objective


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


FIGURES_HEADER = ("protocol", "tracks", "accuracy", "macro-F1", "weighted F1", "calibration error (ECE)")
LABEL_HEADER = ("label", "tracks", "precision", "recall", "F1")
_OBJECTIVES: Mapping[Objective, str] = {"log_loss": "log loss", "weighted_f1": "weighted F1"}
LEAKY_TEXT = (
    "The last line is what a careless evaluation would have reported: it lets artists, albums or duplicates stand on "
    "both sides and so measures memory of them as well. It is no promise. Where it is no higher than the honest line, "
    "this data gave no such help."
)


def figures_rows(findings: Findings) -> list[tuple[str, ...]]:
    """The main table, honest protocols first, the careless one last."""
    return [_figures_row(scored) for scored in (*findings.honest, findings.careless)]


def write_card(
    config: TrainingConfig,
    dataset: Dataset,
    findings: Findings,
    rows: int,
    command: str,
    learned_before: str = "",
    *,
    searched_at_random: bool = False,
) -> str:
    """The Markdown text of CARD.md.

    Args:
        rows: how many tracks the shipped model was fitted on.
        learned_before: of a fine-tuned model, what its base learned from.
        searched_at_random: whether the family's search draws settings at random.
    """
    headline = findings.honest[0]
    parts = [
        f"# {config.name} (version {config.version})",
        (
            f"{config.title}. Family: {config.family}. Features: {_features_text(dataset)}. "
            f"Labels: {', '.join(dataset.labels)}. Model licence: {config.licence}."
        ),
        "## Data",
        f"{dataset.source}. Licence of the data: {dataset.licence}{learned_before}. Groups: {dataset.grouping}.",
        table(("check", "count"), _integrity_rows(findings.integrity)),
        "## Figures",
        _protocol_text(config, dataset),
        table(FIGURES_HEADER, figures_rows(findings)),
        LEAKY_TEXT,
        *_stability_text(config),
        f"Per label, {headline.name}, all seeds together:",
        table(LABEL_HEADER, [label_row(figures) for figures in findings.labels]),
        "## What was tried",
        _tried_text(config, headline.name),
        table(FIGURES_HEADER, [_figures_row(scored) for scored in findings.variants]),
        *([config.notes.strip()] if config.notes else []),
        _chosen_text(config, findings.chosen, searched_at_random=searched_at_random),
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
        f"Protocol: {outer}. Settings, length of training and temperature are chosen on {inner}; the scoring side is "
        f"seen once, by the finished model. {len(protocol.seeds)} seeds, averaged. Intervals: 95 %, bootstrap over "
        "groups. The ideas behind the features were compared on the same data, so a little optimism remains."
    )


def _stability_text(config: TrainingConfig) -> list[str]:
    if not config.stability:
        return []
    claims = "\n".join(f"- {claim}" for claim in config.stability)
    return [f"Stability, as `groovemark evaluate --robustness` checks it:\n\n{claims}"]


def _features_text(dataset: Dataset) -> str:
    return ", ".join([dataset.table.spec.name, *(spec.name for spec in dataset.table.other_specs)])


def _shipped_text(config: TrainingConfig, rows: int) -> str:
    if config.ship == "members":
        names = ", ".join(f"{member.name}@{member.version}" for member in config.members)
        return (
            f"The names of its members ({names}), how much each counts, and the temperature of their mean, the median "
            "of those of the rounds above; the members ship by themselves, as their own cards say. The figures above "
            f"are those of members fitted anew in every round, on {rows} tracks in all, none of which they were scored "
            "on. A member that is trained again is another one: then this is to be trained again as well."
        )
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
        f"{protocol}, first seed only, one seed a member, without search{exception}. The first line is the base; "
        "each of the others changes what its name says. Differences well inside the intervals mean nothing."
    )


def _chosen_text(config: TrainingConfig, chosen: Sequence[Mapping[str, Any]], *, searched_at_random: bool) -> str:
    names = list(chosen[0])
    trials = config.search.trials
    how = "optuna, drawn at random" if searched_at_random else "optuna"
    objective = _OBJECTIVES[config.search.objective]
    searched = (
        f"Search: {trials} settings a round ({how}), chosen by {objective} on the inner folds."
        if trials
        else "The settings are those of train.toml, the same in every round; the inner folds chose what is below."
    )
    intro = f"{searched} Chosen in each round of the first seed:"
    rows = [(str(number + 1), *(_short(entry[name]) for name in names)) for number, entry in enumerate(chosen)]
    return intro + "\n\n" + table(("round", *(name.replace("_", " ") for name in names)), rows)


def _figures_row(scored: Scored) -> tuple[str, ...]:
    return (scored.name, str(scored.tracks), *(interval(figure) for figure in scored.figures.values()))


def label_row(figures: LabelFigures) -> tuple[str, ...]:
    """One label's line below LABEL_HEADER."""
    rates = (figures.precision, figures.recall, figures.f1)
    return (figures.label, str(figures.tracks), *(f"{rate:.3f}" for rate in rates))


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
