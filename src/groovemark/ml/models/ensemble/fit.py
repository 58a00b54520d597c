"""Fitting an ensemble: every member anew, by its own configuration, on the same tracks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets.joint import JointTable
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.registry import FAMILIES, resolve
from groovemark.ml.training.config import TrainingConfig
from groovemark.ml.training.measure import Fitted as FittedMember
from groovemark.ml.training.search import Ranges

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]


@dataclass(frozen=True, slots=True)
class Plan:
    """The members' configurations, the plans that their families made of them, and their shares, which sum to 1."""

    members: tuple[TrainingConfig, ...]
    plans: tuple[Any, ...]
    shares: tuple[float, ...]


@dataclass(frozen=True)
class Fitted:
    """The fitted members that have a share; of the others None."""

    plan: Plan
    members: Sequence[FittedMember | None]
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for tracks that no member has seen: the weighted mean of each member's mean over its windows."""
        joint = _joint(table)
        total: Any = 0
        for member, share, rows, owners in zip(
            self.members, self.plan.shares, joint.members, joint.owners, strict=True
        ):
            if member is not None:
                answers = member.probabilities(rows)
                sums = np.zeros((len(joint), answers.shape[1]))
                np.add.at(sums, owners, answers)
                total += share * sums / np.bincount(owners, minlength=len(joint))[:, None]
        return np.asarray(total)


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan for every member.

    Args:
        settings: `members`, their configurations, and perhaps `weights` by name; without, all weigh the same.
        ranges: must be empty: what is searched is the members' own affair.
        trials: the most settings that any member tries.
        seeds: the most boosters, forests or networks of any member.

    Raises ConfigurationError when a weight is of no member, or below 0, or all are 0.
    """
    members = settings.get("members", ())
    weights = settings.get("weights", {})
    if unknown := sorted(set(settings) - {"members", "weights"}):
        raise ConfigurationError(f"ensemble has no setting '{unknown[0]}'; it has weights")
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
    return Plan(tuple(members), plans, tuple((shares / shares.sum()).tolist()))


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
    return Fitted(plan, members, chosen)


def _joint(table: FeatureTable) -> JointTable:
    if not isinstance(table, JointTable):
        raise ConfigurationError("an ensemble is fitted on the joint tracks of its members' datasets")
    return table
