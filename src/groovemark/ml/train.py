"""Training a shipped model: seed -> dataset -> fit -> evaluate -> artifact."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, cast

import numpy as np

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets import AUDIO_READERS, READERS, Dataset
from groovemark.ml.datasets.gtzan_audio import AudioReader
from groovemark.ml.datasets.integrity import check
from groovemark.ml.datasets.joint import join
from groovemark.ml.datasets.progress import UNWATCHED, Progress
from groovemark.ml.datasets.table import no_report
from groovemark.ml.encoders.encoder import open_encoder
from groovemark.ml.evaluation.metrics import per_label
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.models.artifact import (
    Manifest,
    describe_files,
    is_safe_name,
    read_manifest,
    replacing,
    write_manifest,
)
from groovemark.ml.models.ensemble.members import find_member
from groovemark.ml.models.registry import FAMILIES, Family, make_plan, resolve
from groovemark.ml.training import steps
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


def keep_checkpoints(config: TrainingConfig, folder: Path) -> TrainingConfig:
    """The configuration, with the standing of everything that is taught in epochs kept in the folder; of an ensemble,
    that of its members.

    Raises ConfigurationError where nothing is taught in epochs.
    """
    if not any(_family(one).keeps_checkpoints for one in (config.members or [config])):
        able = ", ".join(name for name, family in FAMILIES.items() if family.keeps_checkpoints)
        whose = "no member of the ensemble" if config.members else f"nothing of the family {config.family}"
        raise ConfigurationError(f"{whose} is taught in epochs: leave --checkpoints out, which is for {able}")
    if config.members:
        members = (
            keep_checkpoints(member, folder) if _family(member).keeps_checkpoints else member
            for member in config.members
        )
        return replace(config, members=tuple(members))
    return replace(config, settings={**config.settings, "checkpoints": str(folder)})


def read_dataset(
    config: TrainingConfig, data: Path, models: Path, *, report: Report = no_report, progress: Progress = UNWATCHED
) -> Dataset:
    """The configured dataset, with the configured features.

    Args:
        models: the folder of models, where imported networks lie on which features may stand.

    Raises:
        ConfigurationError: the dataset, or the data folder, is not there.
        ModelUnavailable: the features need a network that was not imported.
    """
    if config.members:
        members = [read_dataset(member, data, models, report=report, progress=progress) for member in config.members]
        return join(members, config.name)
    try:
        if config.dataset in AUDIO_READERS:
            return _read_audio(AUDIO_READERS[config.dataset], _audio_features(config), data, models, report, progress)
        if config.dataset in READERS and not config.features:
            return READERS[config.dataset](data)
    except FileNotFoundError as error:
        raise ConfigurationError(
            f"{error.filename} is missing; set GROOVEMARK_DATA to the folder of training data"
        ) from error
    if config.dataset in READERS:
        raise ConfigurationError(f"'{config.dataset}' is a table and has its own features: remove the entry features")
    raise ConfigurationError(
        f"there is no dataset '{config.dataset}'; there are {', '.join((*READERS, *AUDIO_READERS))}"
    )


def _read_audio(
    read: AudioReader, spec: FeatureSpec, data: Path, models: Path, report: Report, progress: Progress
) -> Dataset:
    if spec.encoding is None:
        return read(data, spec, report=report, progress=progress)
    encoder = open_encoder(spec, models, for_whom=spec.name)  # before the audio is read, which takes longer
    dataset = read(data, encoder.takes, report=report, progress=progress)
    return replace(dataset, table=encoder.encode(dataset.table))


def _audio_features(config: TrainingConfig) -> FeatureSpec:
    known = [name for name, spec in FEATURE_SETS.items() if spec.comes_from_audio]
    if config.features not in known:
        raise ConfigurationError(
            f"'{config.dataset}' is audio: features must be one of {', '.join(known)}, not '{config.features}'"
        )
    return FEATURE_SETS[config.features]


def measure_protocols(
    config: TrainingConfig,
    dataset: Dataset,
    report: Report,
    *,
    headline_only: bool = False,
    progress: Progress = UNWATCHED,
) -> tuple[list[Measured], Measured]:
    """Go through the honest protocols of the configuration, the headline first, and through the careless one.

    What is wrong with the data is reported before anything is learned from it.

    Args:
        progress: has begun, and advances by `steps.of_protocols`.
    """
    protocol = config.protocol
    names = protocol_names(dataset, protocol)
    kept = "" if config.ship == "all" else names[0]
    fit_round = _fitter(config, dataset, report, progress)
    integrity = asdict(check(dataset))
    report(f"{dataset.name}: " + ", ".join(f"{name.replace('_', ' ')} {count}" for name, count in integrity.items()))
    honest = [
        _measure_honest(config, dataset, name, fit_round, protocol.seeds, report, keeps_models=name == kept)
        for name in (names[:1] if headline_only else names)
    ]
    careless = measure(
        CARELESS,
        dataset,
        lambda seed: careless_rounds(dataset, protocol, seed),
        _fitter(config, dataset, report, progress, trials=0),
        protocol.seeds,
        report,
    )
    return honest, careless


def measure_other(
    config: TrainingConfig,
    dataset: Dataset,
    name: str,
    seed: int,
    report: Report,
    *,
    progress: Progress = UNWATCHED,
) -> Measured:
    """Go through the honest protocol `name` with one seed: another model's answers, to compare with.

    Args:
        progress: has begun, and advances by `steps.of_protocol`.
    """
    return _measure_honest(config, dataset, name, _fitter(config, dataset, report, progress), (seed,), report)


def _measure_honest(
    config: TrainingConfig,
    dataset: Dataset,
    name: str,
    fit_round: Callable[[Round, int], Fitted],
    seeds: tuple[int, ...],
    report: Report,
    *,
    keeps_models: bool = False,
) -> Measured:
    return measure(
        name,
        dataset,
        lambda seed: honest_rounds(dataset, config.protocol, name, seed),
        fit_round,
        seeds,
        report,
        keeps_models=keeps_models,
    )


def evaluate(config: TrainingConfig, dataset: Dataset, report: Report, progress: Progress) -> tuple[Findings, Measured]:
    """Go through every protocol and variant of the configuration.

    Returns the findings and the headline protocol's models.
    """
    variants = [
        (one, _fitter(config, dataset, report, progress, trials=one.trials, changes=one.settings, bag=1))
        for one in (Variant("base"), *config.variants)
    ]
    measured, careless = measure_protocols(config, dataset, report, progress=progress)
    headline = measured[0]
    tried = []
    for variant, fit_round in variants:
        report(f"variant: {variant.name}")
        first = config.protocol.seeds[:1]
        scored = _measure_honest(config, dataset, headline.scored.name, fit_round, first, report).scored
        tried.append(Scored(variant.name, scored.tracks, scored.figures))
    findings = Findings(
        honest=[entry.scored for entry in measured],
        careless=careless.scored,
        variants=tried,
        labels=per_label(headline.runs, dataset.labels),
        chosen=headline.chosen,
        integrity=check(dataset),
    )
    return findings, headline


def train(
    config: TrainingConfig,
    data: Path,
    folder: Path,
    *,
    command: str,
    report: Report,
    progress: Progress = UNWATCHED,
) -> Manifest:
    """Evaluate, fit what ships, and write the artifact to `folder`/<version>, replacing what stood there.

    Args:
        folder: model/<name>.
        command: that reproduces the artifact; it goes into the card and the manifest.
    """
    if not is_safe_name(config.name) or not is_safe_name(config.version):
        raise ConfigurationError(f"'{config.name}' and '{config.version}' must be plain names")
    if _family(config).is_one and config.ship != "all":
        raise ConfigurationError(f"an artifact of the family {config.family} holds one network: set ship = 'all'")
    dataset = read_dataset(config, data, folder.parent, report=report, progress=progress)
    for member in config.members:  # before hours are spent on figures
        full_name = f"{member.name}@{member.version}"
        find_member(folder.parent, full_name, task=config.task, labels=dataset.labels, whose=config.name)
    progress.begin(f"training {config.name}", steps.of_training(config, dataset))
    findings, headline = evaluate(config, dataset, report, progress)
    if config.ship in ("folds", "members"):
        shipped, rows = headline.first_seed, np.arange(len(dataset))
    else:
        report("fitting on all usable tracks")
        final = final_round(dataset, config.protocol)
        shipped = [_fitter(config, dataset, report, progress)(final, config.protocol.seeds[0])]
        rows = final.train
    with replacing(folder / config.version) as building:
        names = resolve(_family(config).save)(building, shipped)
        _write(building / REFERENCE_NAME, json.dumps(summarise(dataset, rows), indent=1))
        _write(
            building / CARD_NAME,
            write_card(
                config,
                dataset,
                findings,
                dataset.take(rows).n_tracks,
                command,
                _learned_before(config),
                searched_at_random=_family(config).searches_at_random,
            ),
        )
        files = describe_files(building, [*names, REFERENCE_NAME, CARD_NAME])
        manifest = _manifest(config, dataset, findings, command, files)
        write_manifest(building, manifest)
    return manifest


def _fitter(
    config: TrainingConfig,
    dataset: Dataset,
    report: Report,
    progress: Progress,
    *,
    trials: int | None = None,
    changes: Mapping[str, Any] | None = None,
    bag: int | None = None,
) -> Callable[[Round, int], Fitted]:
    """A function that fits the family on a round's training side; the options replace the configuration's."""
    family = _family(config)
    count = config.bag if bag is None else bag
    tried = config.search.trials if trials is None else trials

    def plan(seed: int) -> Any:
        return make_plan(
            config.family,
            settings={**config.settings, **(changes or {}), **({"members": config.members} if config.members else {})},
            search=config.search,
            trials=tried,
            seeds=tuple(SEED_DISTANCE * seed + own for own in range(count)),
        )

    def fit_round(entry: Round, seed: int) -> Fitted:
        side = dataset.take(entry.train)
        fitted = resolve(family.fit)(
            side.table, side.targets, len(dataset.labels), entry.inner, plan(seed), report=report
        )
        progress.advance(steps.of_fit(tried))
        return cast("Fitted", fitted)

    plan(config.protocol.seeds[0])  # so that wrong settings are refused before anything else happens
    return fit_round


def _family(config: TrainingConfig) -> Family:
    if config.family not in FAMILIES:
        raise ConfigurationError(f"there is no family '{config.family}'; there are {', '.join(FAMILIES)}")
    if not FAMILIES[config.family].fit:
        raise ConfigurationError(f"the family '{config.family}' is imported, not trained: groovemark model import")
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
        other_features=tuple(spec.name for spec in dataset.table.other_specs),
        metrics={name: round(value, 6) for name, value in sorted(metrics.items())},
        licence=config.licence,
        training_data=f"{dataset.source}; licence: {dataset.licence}{_learned_before(config)}",
        created=config.created,
        command=command,
        files=files,
    )


def _learned_before(config: TrainingConfig) -> str:
    """What the base of a fine-tuned model was taught on, and whose it is."""
    if not config.base:
        return ""
    base = read_manifest(Path(config.settings["base"]))
    return f"; fine-tuned from {base.full_name} (licence: {base.licence}), which learned from: {base.training_data}"


def _write(path: Path, text: str) -> None:
    path.write_text(text if text.endswith("\n") else text + "\n", encoding="utf-8")
