"""Training a shipped model: seed -> dataset -> fit -> evaluate -> artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets import READERS, Dataset
from groovemark.ml.datasets.integrity import check
from groovemark.ml.evaluation.metrics import Figure, figures, per_label
from groovemark.ml.models.artifact import Manifest, describe_files, is_safe_name, write_manifest
from groovemark.ml.models.boosting.fit import Fitted, Plan, fit
from groovemark.ml.models.boosting.save import save
from groovemark.ml.models.boosting.settings import BoostingSettings
from groovemark.ml.training.card import Findings, Scored, write_card
from groovemark.ml.training.config import TrainingConfig
from groovemark.ml.training.protocol import (
    Round,
    careless_rounds,
    final_round,
    honest_rounds,
    protocol_names,
)
from groovemark.ml.training.reference import summarise

Report = Callable[[str], None]
REFERENCE_NAME = "reference.json"
CARD_NAME = "CARD.md"
SEED_DISTANCE = 100
"""Between the boosters' seeds of two runs."""


@dataclass(frozen=True)
class Measured:
    """One protocol gone through with every seed."""

    scored: Scored
    runs: list[tuple[Any, Any]]
    first_seed: list[Fitted]
    rounds: list[Round]


def read_dataset(config: TrainingConfig, data: Path) -> Dataset:
    """The configured dataset. Raises ConfigurationError when it, or the data folder, is not there."""
    reader = READERS.get(config.dataset)
    if reader is None:
        raise ConfigurationError(f"there is no dataset '{config.dataset}'; there are {', '.join(READERS)}")
    try:
        return reader(data)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{error.filename} is missing; set GROOVEMARK_DATA to the folder of training data"
        ) from error


def evaluate(config: TrainingConfig, dataset: Dataset, report: Report) -> tuple[Findings, Measured]:
    """Go through every protocol of the configuration. Returns the findings and the headline protocol's models."""
    names = protocol_names(dataset, config.protocol)
    measured = [_measure(config, dataset, name, _plan(config), config.protocol.seeds, report) for name in names]
    careless = _measure(config, dataset, None, _plan(config, trials=0), config.protocol.seeds, report)
    variants = [("base", {}), *((variant.name, variant.settings) for variant in config.variants)]
    tried = []
    for name, values in variants:
        plan = _plan(config, trials=0, values=values, bag=1)
        scored = _measure(config, dataset, names[0], plan, config.protocol.seeds[:1], report).scored
        tried.append(Scored(name, scored.tracks, scored.figures))
    headline = measured[0]
    findings = Findings(
        honest=[entry.scored for entry in measured],
        careless=careless.scored,
        variants=tried,
        labels=per_label(headline.runs, dataset.labels),
        chosen=[fitted.chosen for fitted in headline.first_seed],
        integrity=check(dataset),
    )
    return findings, headline


def train(config: TrainingConfig, data: Path, folder: Path, *, command: str, report: Report) -> Manifest:
    """Evaluate, fit what ships, and write the artifact to `folder`/<version>, replacing what stood there.

    Args:
        folder: model/<name>.
        command: that reproduces the artifact; it goes into the card and the manifest.
    """
    if not is_safe_name(config.name) or not is_safe_name(config.version):
        raise ConfigurationError(f"'{config.name}' and '{config.version}' must be plain names")
    dataset = read_dataset(config, data)
    findings, headline = evaluate(config, dataset, report)
    if config.ship == "folds":
        shipped, rows = headline.first_seed, np.arange(len(dataset))
    else:
        report("fitting on all usable tracks")
        final = final_round(dataset, config.protocol)
        shipped, rows = [_fit(dataset, final, _plan(config), report)], final.train
    target = folder / config.version
    building = folder / f".{config.version}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    names = save(building, [fitted.member for fitted in shipped], [fitted.encoded.vocabulary for fitted in shipped])
    _write(building / REFERENCE_NAME, json.dumps(summarise(dataset, rows), indent=1))
    _write(building / CARD_NAME, write_card(config, dataset, findings, len(rows), command))
    manifest = _manifest(
        config, dataset, findings, command, describe_files(building, [*names, REFERENCE_NAME, CARD_NAME])
    )
    write_manifest(building, manifest)
    shutil.rmtree(target, ignore_errors=True)
    building.rename(target)
    return manifest


def _measure(
    config: TrainingConfig,
    dataset: Dataset,
    name: str | None,
    plan: Plan,
    seeds: Iterable[int],
    report: Report,
) -> Measured:
    """Go through one protocol, or through the careless one where `name` is None."""
    runs, first_seed, rounds = [], [], []
    for seed in seeds:
        kinds = (
            careless_rounds(dataset, config.protocol, seed)
            if name is None
            else honest_rounds(dataset, config.protocol, name, seed)
        )
        answers = np.full((len(dataset), len(dataset.labels)), np.nan)
        for number, entry in enumerate(kinds, start=1):
            fitted = _fit(dataset, entry, _reseed(plan, seed), report)
            answers[entry.test] = fitted.probabilities(dataset.take(entry.test).table)
            report(f"{name or 'random rows'}: seed {seed}, round {number}: {dict(fitted.chosen)}")
            if seed == config.protocol.seeds[0]:
                first_seed.append(fitted)
                rounds.append(entry)
        scored_rows = np.flatnonzero(np.isfinite(answers[:, 0]))
        runs.append((answers[scored_rows], dataset.targets[scored_rows]))
    measured = figures(runs, dataset.groups[scored_rows])
    label = name or "random rows, groups ignored (leaky)"
    report(f"{label}: {_summary(measured)}")
    return Measured(Scored(label, len(scored_rows), measured), runs, first_seed, rounds)


def _fit(dataset: Dataset, entry: Round, plan: Plan, report: Report) -> Fitted:
    side = dataset.take(entry.train)
    return fit(side.table, side.targets, len(dataset.labels), entry.inner, plan, report=report)


def _plan(
    config: TrainingConfig,
    *,
    trials: int | None = None,
    values: Mapping[str, Any] | None = None,
    bag: int | None = None,
) -> Plan:
    settings = BoostingSettings().changed({**config.settings, **(values or {})})
    return Plan(
        settings=settings,
        ranges=config.search.ranges,
        trials=config.search.trials if trials is None else trials,
        seeds=tuple(range(config.bag if bag is None else bag)),
    )


def _reseed(plan: Plan, seed: int) -> Plan:
    return Plan(plan.settings, plan.ranges, plan.trials, tuple(SEED_DISTANCE * seed + own for own in plan.seeds))


def _manifest(
    config: TrainingConfig, dataset: Dataset, findings: Findings, command: str, files: Mapping[str, Any]
) -> Manifest:
    metrics = {"leaky_accuracy": findings.careless.figures["accuracy"].value}
    for number, scored in enumerate(findings.honest):
        prefix = "" if number == 0 else f"protocol_{number + 1}_"
        for name, figure in scored.figures.items():
            metrics |= {
                f"{prefix}{name}": figure.value,
                f"{prefix}{name}_low": figure.low,
                f"{prefix}{name}_high": figure.high,
            }
    return Manifest(
        name=config.name,
        version=config.version,
        title=config.title,
        family=config.family,
        task=config.task,
        labels=dataset.labels,
        features=dataset.table.spec.name,
        features_sha256=dataset.table.spec.sha256,
        metrics={name: round(value, 4) for name, value in sorted(metrics.items())},
        licence=config.licence,
        training_data=f"{dataset.source}; licence: {dataset.licence}",
        created=config.created,
        command=command,
        files=files,
    )


def _summary(measured: Mapping[str, Figure]) -> str:
    return ", ".join(f"{name} {figure.value:.3f}" for name, figure in measured.items())


def _write(path: Path, text: str) -> None:
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
