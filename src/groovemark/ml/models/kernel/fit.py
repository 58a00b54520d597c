"""Fitting a kernel model: settings and temperature on inner folds, then every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.held import Held
from groovemark.ml.models.kernel.classifier import Member, to_waves
from groovemark.ml.models.kernel.settings import KernelSettings
from groovemark.ml.models.scores import Floats, signed_logarithms
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.linear import calibrated_loss, fit_logistic
from groovemark.ml.training.search import Ranges, search

Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
SEARCHABLE = ("inverse_penalty", "sharpness")
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made.

    Attributes:
        settings: tried first; the search may replace those that `ranges` names.
        trials: how many settings the search tries on the inner folds; 0 keeps `settings`.
        seed: of the waves.
    """

    settings: KernelSettings
    ranges: Ranges
    trials: int
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it."""

    member: Member
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for rows the member has not seen."""
        return self.member.probabilities(table)


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan with the default settings changed. Raises ConfigurationError for settings that cannot be searched."""
    for name in ranges:
        if name not in SEARCHABLE:
            raise ConfigurationError(f"'{name}' of a kernel model cannot be searched")
    return Plan(KernelSettings().changed(settings), ranges, trials, seeds[0])


def fit(
    table: FeatureTable,
    targets: Integers,
    labels: int,
    folds: Folds,
    plan: Plan,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit a member on the table.

    Args:
        targets: (n,) label numbers from 0 to labels - 1.
        folds: inner (train, held-out) row numbers of this table; nothing else chooses settings and temperature. Rows
            held out whose label an inner training side lacks say nothing about either, and are left out.
        report: is told about the progress, a line at a time.
    """
    if table.spec.shape:
        raise ConfigurationError(f"kernel takes columns of numbers, not the tensors of {table.spec.name}")
    inner = [(train, held[np.isin(targets[held], targets[train])]) for train, held in folds]
    truth = np.concatenate([targets[held] for _, held in inner])

    def held_scores(values: Mapping[str, Any]) -> Floats:
        settings = plan.settings.changed(values)
        return np.concatenate(
            [
                _solve(table.take(train), targets[train], labels, settings, plan.seed).scores(table.take(held))
                for train, held in inner
            ]
        )

    values = search(
        lambda tried: calibrated_loss(held_scores(tried), truth),
        plan.ranges,
        asdict(plan.settings),
        trials=plan.trials,
        report=report,
    )
    scores = held_scores(values)
    temperature = fit_temperature(scores, truth)
    member = _solve(table, targets, labels, plan.settings.changed(values), plan.seed)
    return Fitted(
        member=replace(member, temperature=temperature),
        held=Held.at(temperature, [held for _, held in inner], scores),
        chosen={**values, "temperature": round(temperature, 4)},
    )


def _solve(table: FeatureTable, targets: Integers, labels: int, settings: KernelSettings, seed: int) -> Member:
    numbers = signed_logarithms(table.numbers)
    mean, deviation = numbers.mean(axis=0), numbers.std(axis=0) + _TINY
    generator, width = np.random.default_rng(seed), numbers.shape[1]
    spread = np.sqrt(2 * settings.sharpness / width)
    directions = (spread * generator.normal(size=(width, settings.waves))).astype(np.float32)
    phases = generator.uniform(0, 2 * np.pi, settings.waves)
    waves = to_waves(table, mean, deviation, directions, phases)
    weights, bias = fit_logistic(waves, targets, labels, inverse_penalty=settings.inverse_penalty)
    return Member(mean, deviation, directions, phases, weights, bias, temperature=1.0)
