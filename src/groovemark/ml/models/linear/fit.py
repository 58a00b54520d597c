"""Fitting a linear model: settings and temperature on inner folds, then every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.features.tabular import FeatureTable, row_length
from groovemark.ml.models.held import Held
from groovemark.ml.models.linear.classifier import Member, to_numbers
from groovemark.ml.models.linear.settings import LinearSettings
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.linear import fit_discriminant, fit_logistic
from groovemark.ml.training.search import Ranges, search

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
NUMBERS_MAX = 4096
"""Of a row: the covariance is as wide and as high."""
_SEARCHABLE = {"discriminant": ("shrinkage",), "logistic": ("inverse_penalty",)}


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made. The fit has one solution, so that seeds change nothing.

    Attributes:
        settings: tried first; the search may replace those that `ranges` names.
        trials: how many settings the search tries on the inner folds; 0 keeps `settings`.
    """

    settings: LinearSettings
    ranges: Ranges
    trials: int


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it."""

    member: Member
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for rows the member has not seen."""
        return self.member.probabilities(to_numbers(table))


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:  # noqa: ARG001
    """A plan with the default settings changed. Raises ConfigurationError for settings that cannot be searched."""
    chosen = LinearSettings().changed(settings)
    # A variant may change the method and keep the ranges of the search: those of the other method are left out.
    for name in ranges:
        if not any(name in names for names in _SEARCHABLE.values()):
            raise ConfigurationError(f"'{name}' of a linear model cannot be searched")
    return Plan(chosen, {name: ranges[name] for name in _SEARCHABLE[chosen.method] if name in ranges}, trials)


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
    if row_length(table.spec) > NUMBERS_MAX or table.spec.text_names:
        raise ConfigurationError(f"linear takes at most {NUMBERS_MAX} numbers a row and no text, not {table.spec.name}")
    numbers = to_numbers(table)
    inner = [(train, held[np.isin(targets[held], targets[train])]) for train, held in folds]
    truth = np.concatenate([targets[held] for _, held in inner])

    def held_scores(values: Mapping[str, Any]) -> Floats:
        settings = plan.settings.changed(values)
        return np.concatenate(
            [_solve(numbers[train], targets[train], labels, settings).scores(numbers[held]) for train, held in inner]
        )

    def loss(values: Mapping[str, Any]) -> float:
        scores = held_scores(values)
        scores = scores / _temperature(scores, truth)
        shifted = scores - scores.max(axis=1, keepdims=True)
        return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(truth)), truth]).mean())

    values = search(loss, plan.ranges, asdict(plan.settings), trials=plan.trials, report=report)
    scores = held_scores(values)
    temperature = _temperature(scores, truth)
    member = _solve(numbers, targets, labels, plan.settings.changed(values))
    return Fitted(
        member=replace(member, temperature=temperature),
        held=Held.at(temperature, [held for _, held in inner], scores),
        chosen={**values, "temperature": round(temperature, 4)},
    )


def _temperature(scores: Floats, targets: Integers) -> float:
    """As `fit_temperature`, from 1/64 to 64: discriminant scores of many numbers are far too sure of themselves."""
    temperature = 1.0
    for _ in range(3):
        temperature *= fit_temperature(scores / temperature, targets)
    return temperature


def _solve(numbers: Floats, targets: Integers, labels: int, settings: LinearSettings) -> Member:
    mean, deviation = numbers.mean(axis=0), numbers.std(axis=0) + 1e-9
    standard = (numbers - mean) / deviation
    if settings.method == "discriminant":
        weights, bias = fit_discriminant(standard, targets, labels, shrinkage=settings.shrinkage)
    else:
        weights, bias = fit_logistic(standard, targets, labels, inverse_penalty=settings.inverse_penalty)
    weights /= deviation[:, None]
    return Member(weights, bias - mean @ weights, temperature=1.0)
