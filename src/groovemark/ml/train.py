"""Training a shipped model: seed -> dataset -> fit -> evaluate -> artifact."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, cast

import numpy as np

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets import READERS, Dataset
from groovemark.ml.datasets.integrity import check
from groovemark.ml.evaluation.metrics import per_label
from groovemark.ml.models.artifact import Manifest, describe_files, is_safe_name, write_manifest
from groovemark.ml.models.registry import FAMILIES, Family, resolve
from groovemark.ml.training.card import Findings, Scored, write_card
from groovemark.ml.training.config import TrainingConfig, Variant
from groovemark.ml.training.measure import Fitted, Measured, Report, measure
from groovemark.ml.training.protocol import (
    Round,
    careless_rounds,
    final_round,
    honest_rounds,
    protocol_names,
)
from groovemark.ml.training.reference import summarise

REFERENCE_NAME = "reference.json"
CARD_NAME = "CARD.md"
CARELESS = "random rows, groups ignored (leaky)"
SEED_DISTANCE = 100
"""Between the random seeds of two runs, so that their bags do not overlap."""


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
    protocol = config.protocol
    names = protocol_names(dataset, protocol)

    def honest(name: str, fit_round: Callable[[Round, int], Fitted], seeds: tuple[int, ...]) -> Measured:
        return measure(
            name,
            dataset,
            lambda seed: honest_rounds(dataset, protocol, name, seed),
            fit_round,
            seeds,
            report,
        )

    measured = [honest(name, _fitter(config, dataset, report), protocol.seeds) for name in names]
    careless = measure(
        CARELESS,
        dataset,
        lambda seed: careless_rounds(dataset, protocol, seed),
        _fitter(config, dataset, report, trials=0),
        protocol.seeds,
        report,
    )
    tried = []
    for variant in (Variant("base"), *config.variants):
        report(f"variant: {variant.name}")
        fit_round = _fitter(config, dataset, report, trials=variant.trials, changes=variant.settings, bag=1)
        scored = honest(names[0], fit_round, protocol.seeds[:1]).scored
        tried.append(Scored(variant.name, scored.tracks, scored.figures))
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
        shipped = [_fitter(config, dataset, report)(final, config.protocol.seeds[0])]
        rows = final.train
    building = folder / f".{config.version}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    names = resolve(_family(config).save)(building, shipped)
    _write(building / REFERENCE_NAME, json.dumps(summarise(dataset, rows), indent=1))
    _write(building / CARD_NAME, write_card(config, dataset, findings, len(rows), command))
    files = describe_files(building, [*names, REFERENCE_NAME, CARD_NAME])
    manifest = _manifest(config, dataset, findings, command, files)
    write_manifest(building, manifest)
    shutil.rmtree(folder / config.version, ignore_errors=True)
    building.rename(folder / config.version)
    return manifest


def _fitter(
    config: TrainingConfig,
    dataset: Dataset,
    report: Report,
    *,
    trials: int | None = None,
    changes: Mapping[str, Any] | None = None,
    bag: int | None = None,
) -> Callable[[Round, int], Fitted]:
    """A function that fits the family on a round's training side; the options replace the configuration's."""
    family = _family(config)
    count = config.bag if bag is None else bag

    def fit_round(entry: Round, seed: int) -> Fitted:
        plan = resolve(family.plan)(
            settings={**config.settings, **(changes or {})},
            ranges=config.search.ranges,
            trials=config.search.trials if trials is None else trials,
            seeds=tuple(SEED_DISTANCE * seed + own for own in range(count)),
        )
        side = dataset.take(entry.train)
        fitted = resolve(family.fit)(side.table, side.targets, len(dataset.labels), entry.inner, plan, report=report)
        return cast("Fitted", fitted)

    return fit_round


def _family(config: TrainingConfig) -> Family:
    if config.family not in FAMILIES:
        raise ConfigurationError(f"there is no family '{config.family}'; there are {', '.join(FAMILIES)}")
    return FAMILIES[config.family]


def _manifest(
    config: TrainingConfig, dataset: Dataset, findings: Findings, command: str, files: Mapping[str, Any]
) -> Manifest:
    metrics = {"leaky_accuracy": findings.careless.figures["accuracy"].value}
    for number, scored in enumerate(findings.honest, start=1):
        prefix = "" if number == 1 else f"protocol_{number}_"
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


def _write(path: Path, text: str) -> None:
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
