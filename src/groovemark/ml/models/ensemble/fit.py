"""Fitting an ensemble: every member anew, by its own configuration, on the same tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets.joint import JointTable
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.changing import require_temperature
from groovemark.ml.models.held import Held
from groovemark.ml.models.registry import FAMILIES, resolve
from groovemark.ml.models.scores import logarithms, tempered
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.config import TrainingConfig
from groovemark.ml.training.measure import Fitted as AnyFitted
from groovemark.ml.training.search import Ranges

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How an ensemble is made.

    Attributes:
        members: their configurations.
        plans: what their families made of these.
        shares: of each in the mean; they sum to 1.
        temperature: of the mean; 0 finds it.
    """

    members: tuple[TrainingConfig, ...]
    plans: tuple[Any, ...]
    shares: tuple[float, ...]
    temperature: float


class FittedMember(AnyFitted, Protocol):
    """What the family of a member returns."""

    @property
    def held(self) -> Held: ...


@dataclass(frozen=True)
class Fitted:
    """The fitted members that have a share, of the others None; and a temperature where one was found."""

    plan: Plan
    members: Sequence[FittedMember | None]
    temperature: float | None
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for tracks that no member has seen: the weighted mean of each member's mean over its windows, at the
        temperature."""
        joint = _joint(table)
        answers = [
            (owners, member.probabilities(rows)) if member is not None else None
            for member, rows, owners in zip(self.members, joint.members, joint.owners, strict=True)
        ]
        return tempered(_mean(answers, self.plan.shares, len(joint)), self.temperature or 1.0)


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan for every member.

    Args:
        settings: `members`, their configurations, and perhaps `weights` by name; without, all weigh the same. And the
            `temperature` of the mean; 0, which it is otherwise, finds it.
        ranges: must be empty: what is searched is the members' own affair.
        trials: the most settings that any member tries.
        seeds: the most boosters, forests or networks of any member.

    Raises ConfigurationError when a weight is of no member, or below 0, or all are 0, or no temperature is one.
    """
    members = settings.get("members", ())
    weights = settings.get("weights", {})
    temperature = settings.get("temperature", 0.0)
    if unknown := sorted(set(settings) - {"members", "weights", "temperature"}):
        raise ConfigurationError(f"ensemble has no setting '{unknown[0]}'; it has temperature, weights")
    require_temperature(temperature)
    if not members:
        raise ConfigurationError("an ensemble needs members: name their configurations")
    if ranges:
        raise ConfigurationError("an ensemble has no ranges to search; its members have their own")
    if strangers := sorted(set(weights) - {member.name for member in members}):
        raise ConfigurationError(f"the weight of '{strangers[0]}' is of no member")
    shares = np.array([float(weights.get(member.name, 0.0 if weights else 1.0)) for member in members])
    if (shares < 0).any() or not 0 < shares.sum() < np.inf:
        raise ConfigurationError("weights must not be below 0, and one must be above it")
    plans = tuple(
        registry.make_plan(
            member.family,
            settings=member.settings,
            search=member.search,
            trials=min(trials, member.search.trials),
            seeds=seeds[: member.bag],
        )
        for member in members
    )
    return Plan(tuple(members), plans, tuple((shares / shares.sum()).tolist()), temperature)


def fit(
    table: FeatureTable,
    targets: Integers,
    labels: int,
    folds: Folds,
    plan: Plan,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit the members on a JointTable.

    The mean of members that are sure of themselves in different places is too unsure. What makes it as sure as it is
    right is found on what the members answered for the tracks that their inner folds held out.

    Args:
        targets: (n,) label numbers of the tracks.
        folds: inner (train, held-out) track numbers, which every member has as the rows of these tracks.
        report: is told about the progress, a line at a time.
    """
    joint = _joint(table)
    members: list[FittedMember | None] = []
    chosen: dict[str, Any] = {}
    for config, own_plan, share, rows, owners in zip(
        plan.members, plan.plans, plan.shares, joint.members, joint.owners, strict=True
    ):
        if not share:
            members.append(None)
            continue
        report(f"member {config.name}")
        inner = [tuple(np.flatnonzero(np.isin(owners, side)) for side in fold) for fold in folds]
        member = resolve(FAMILIES[config.family].fit)(rows, targets[owners], labels, inner, own_plan, report=report)
        members.append(member)
        chosen |= {f"{config.name}: {name}": value for name, value in member.chosen.items()}
    temperature = plan.temperature or find_temperature(members, plan.shares, joint, targets)
    if temperature is None:
        report("no track was held out of every member: their mean stays as it is")
    return Fitted(plan, members, temperature, {**chosen, "temperature": round(temperature or 1.0, 4)})


def find_temperature(
    members: Sequence[FittedMember | None], shares: Sequence[float], joint: JointTable, targets: Integers
) -> float | None:
    """None where there is no track that every member has held out: networks ask one inner fold each, the one with the
    most windows of theirs."""
    answers = [
        (owners[member.held.rows], member.held.answers) if member is not None else None
        for member, owners in zip(members, joint.owners, strict=True)
    ]
    means = _mean(answers, shares, len(joint))
    held = np.isfinite(means).all(axis=1)
    return fit_temperature(logarithms(means[held]), targets[held]) if held.any() else None


def _mean(answers: Sequence[tuple[Integers, Floats] | None], shares: Sequence[float], tracks: int) -> Floats:
    """(t, k) weighted means; not a number where a member has no answer for a track.

    Args:
        answers: of each member that has a share, (m,) which track a row is of, and (m, k) what it answered for the row.
    """
    total: Any = 0
    for one, share in zip(answers, shares, strict=True):
        if one is not None:
            owners, rows = one
            sums = np.zeros((tracks, rows.shape[1]))
            np.add.at(sums, owners, rows)
            with np.errstate(invalid="ignore"):
                total += share * sums / np.bincount(owners, minlength=tracks)[:, None]
    return np.asarray(total)


def _joint(table: FeatureTable) -> JointTable:
    if not isinstance(table, JointTable):
        raise ConfigurationError("an ensemble is fitted on the joint tracks of its members' datasets")
    return table
