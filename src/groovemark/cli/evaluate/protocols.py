"""Evaluating a configuration: its honest protocols, and another model's answers for the same tracks."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.cli.progress import Shown
from groovemark.cli.train import CONFIG_NAME
from groovemark.errors import ConfigurationError
from groovemark.ml.datasets import Dataset
from groovemark.ml.evaluation.mcnemar import mcnemar
from groovemark.ml.train import measure_other, measure_protocols, read_dataset
from groovemark.ml.training import steps
from groovemark.ml.training.config import TrainingConfig, read_config
from groovemark.ml.training.measure import Measured
from groovemark.ml.training.protocol import protocol_names
from groovemark.ml.training.report import Comparison, EvaluationReport, of_protocols


def by_protocols(
    config: TrainingConfig, data: Path, models: Path, against: str | None, *, quick: bool, progress: Shown
) -> EvaluationReport:
    """Fit and score anew, as the protocols of the configuration say."""
    if quick:
        config = replace(config, protocol=replace(config.protocol, seeds=config.protocol.seeds[:1]))
    dataset = read_dataset(config, data, models, report=progress.report, progress=progress)
    rival = _rival(config, dataset, against, data, models, progress, quick=quick) if against else None
    progress.begin(f"evaluating {config.name}", steps.of_protocols(config, dataset, headline_only=quick))
    honest, careless = measure_protocols(config, dataset, progress.report, headline_only=quick, progress=progress)
    return EvaluationReport(
        f"{config.name}@{config.version}",
        classification=of_protocols(dataset, honest, careless),
        comparison=_compare(config, dataset, honest, rival, progress) if rival else None,
    )


@dataclass(frozen=True)
class _Rival:
    """The other model's configuration and data, and the protocol that both go through."""

    config: TrainingConfig
    dataset: Dataset
    protocol: str


def _rival(
    config: TrainingConfig, dataset: Dataset, against: str, data: Path, models: Path, progress: Shown, *, quick: bool
) -> _Rival:
    """Found before anything is fitted, so that what cannot be compared fails at once."""
    other = _other_config(models, against)
    others = read_dataset(other, data, models, report=progress.report, progress=progress)
    if others.labels != dataset.labels:
        raise ConfigurationError(f"{other.name} has other labels than {config.name}: the two cannot be compared")
    if not set(dataset.ids) & set(others.ids):
        raise ConfigurationError(f"{other.name} and {config.name} are measured on other tracks, with no id in common")
    adapted = replace(other, protocol=config.protocol)
    own = protocol_names(dataset, config.protocol)
    common = [name for name in (own[:1] if quick else own) if name in protocol_names(others, adapted.protocol)]
    if not common:
        raise ConfigurationError(
            f"{other.name} is not measured by the protocol '{own[0]}', as {config.name} is: the two cannot be compared"
        )
    return _Rival(adapted, others, common[0])


def _other_config(models: Path, against: str) -> TrainingConfig:
    """Its own protocol has to be gone through: what is installed has learned from the tracks that score."""
    name, _, version = against.partition("@")
    config = read_config(models / name / CONFIG_NAME)
    if config.version != version:
        raise ConfigurationError(
            f"{models / name / CONFIG_NAME} makes {name}@{config.version}, not {against}, so its answers for tracks "
            "that it has not seen cannot be had; compare the installed models on a --table"
        )
    return config


def _compare(
    config: TrainingConfig, dataset: Dataset, honest: list[Measured], rival: _Rival, progress: Shown
) -> Comparison:
    own = next(entry for entry in honest if entry.scored.name == rival.protocol)
    progress.begin(f"evaluating {rival.config.name}", steps.of_protocol(rival.config, rival.dataset, rival.protocol))
    measured = measure_other(
        rival.config, rival.dataset, rival.protocol, config.protocol.seeds[0], progress.report, progress=progress
    )
    ours, theirs = _right(dataset, own), _right(rival.dataset, measured)
    common = [track for track in ours if track in theirs]
    return Comparison(
        against=f"{rival.config.name}@{rival.config.version}",
        protocol=rival.protocol,
        test=mcnemar(_of(ours, common), _of(theirs, common)),
    )


def _right(dataset: Dataset, measured: Measured) -> dict[str, bool]:
    """Whether the first seed's answer for each track is right, by the track's id."""
    answers, targets = measured.runs[0]
    right = (answers.argmax(axis=1) == targets).tolist()
    return {dataset.ids[row]: is_right for row, is_right in zip(measured.rows, right, strict=True)}


def _of(right: dict[str, bool], tracks: list[str]) -> NDArray[np.bool_]:
    return np.array([right[track] for track in tracks], dtype=np.bool_)
