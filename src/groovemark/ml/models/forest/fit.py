"""Fitting a forest: a random search on inner folds, then trees on every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.evaluation.metrics import weighted_f1
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.forest.classifier import Member, to_matrix
from groovemark.ml.models.forest.settings import ForestSettings
from groovemark.ml.models.forest.trees import LEAF, Trees
from groovemark.ml.models.held import Held
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.search import Objective, Ranges, search

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
SEARCH_TREES = 40
"""Enough to tell settings apart; the trees that ship are as many as the settings say."""
LEAST_PROBABILITY = 1e-3
"""What a forest holds to be impossible is taken for this, so that no single row decides a log loss."""
_SEARCHABLE = frozenset({"depth", "split_rows", "leaf_rows", "column_share"})


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made.

    Attributes:
        settings: tried first; the search may replace those that `ranges` names.
        trials: how many settings the search tries on the inner folds; 0 keeps `settings`.
        seeds: one forest each; together they are one of as many times the trees.
        objective: of the search. The temperature is always the one with the least log loss.
    """

    settings: ForestSettings
    ranges: Ranges
    trials: int
    seeds: tuple[int, ...]
    objective: Objective = "log_loss"


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it."""

    member: Member
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for rows the member has not seen."""
        return self.member.probabilities(to_matrix(table))


def make_plan(
    *,
    settings: Mapping[str, Any],
    ranges: Ranges,
    trials: int,
    seeds: tuple[int, ...],
    objective: Objective = "log_loss",
) -> Plan:
    """A plan with the default settings changed. Raises ConfigurationError for settings that cannot be searched."""
    for name in ranges:
        if name not in _SEARCHABLE:
            raise ConfigurationError(f"'{name}' cannot be searched; these can: {', '.join(sorted(_SEARCHABLE))}")
    chosen = ForestSettings().changed(settings)
    return Plan(chosen, ranges, trials, seeds, objective)


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
        folds: inner (train, held-out) row numbers of this table; nothing else chooses settings and temperature.
        report: is told about the progress, a line at a time.
    """
    if table.spec.shape:
        raise ConfigurationError(f"forest takes columns; {table.spec.name} is a set of tensors")
    matrix = to_matrix(table)
    inner = [(train, held) for train, held in folds if len(train)]  # small published lists may leave a side nothing
    held_rows = np.concatenate([np.empty(0, np.int64), *(held for _, held in inner)])
    truth = targets[held_rows]

    def held_answers(values: Mapping[str, Any]) -> Floats:
        settings = plan.settings.changed({"trees": min(plan.settings.trees, SEARCH_TREES), **values})
        grown = [(_grow(matrix[train], targets[train], settings, plan.seeds[0]), held) for train, held in inner]
        answers = (as_trees([forest], labels).probabilities(matrix[held]) for forest, held in grown)
        return np.concatenate([np.empty((0, labels)), *answers])

    values = search(
        lambda values: _loss(held_answers(values), truth, plan.objective),
        plan.ranges,
        asdict(plan.settings),
        trials=plan.trials,
        at_random=True,
        report=report,
    )
    settings = plan.settings.changed(values)
    scores = np.log(np.maximum(held_answers(values), LEAST_PROBABILITY))
    temperature = fit_temperature(scores, truth) if settings.calibrated and len(truth) else 1.0
    held = Held.at(temperature, [held_rows], scores)
    forests = [_grow(matrix, targets, settings, seed) for seed in plan.seeds]
    member = Member(as_trees(forests, labels), temperature)
    return Fitted(member, held, {**values, "temperature": round(temperature, 4)})


def as_trees(forests: Sequence[Any], labels: int) -> Trees:
    """Fitted RandomForestClassifiers as one forest.

    Args:
        labels: how many there are; those that a forest has not seen get no probability from it.
    """
    starts, columns, thresholds, targets, leaves = [0], [], [], [], []
    n_leaves = 0
    for forest in forests:
        for estimator in forest.estimators_:
            tree = estimator.tree_
            is_leaf = tree.children_left < 0
            if not np.array_equal(tree.children_left[~is_leaf], np.flatnonzero(~is_leaf) + 1):
                raise ValueError("the trees must have been grown in depth, without max_leaf_nodes")
            columns.append(np.where(is_leaf, LEAF, tree.feature))
            thresholds.append(np.where(is_leaf, 0, tree.threshold))
            targets.append(np.where(is_leaf, n_leaves + np.cumsum(is_leaf) - 1, starts[-1] + tree.children_right))
            shares = np.zeros((int(is_leaf.sum()), labels))
            shares[:, forest.classes_] = tree.value[is_leaf, 0]
            leaves.append(shares / shares.sum(axis=1, keepdims=True))
            n_leaves += len(shares)
            starts.append(starts[-1] + len(is_leaf))
    return Trees(
        starts=np.array(starts[:-1], np.int32),
        columns=np.concatenate(columns).astype(np.int32),
        thresholds=_rounded_down(np.concatenate(thresholds)),
        targets=np.concatenate(targets).astype(np.int32),
        leaves=np.concatenate(leaves).astype(np.float32),
    )


def _rounded_down(thresholds: Floats) -> NDArray[np.float32]:
    """The largest float32 that is no larger: it sends every float32 to the same side."""
    nearest = thresholds.astype(np.float32)
    return np.where(nearest > thresholds, np.nextafter(nearest, np.float32(-np.inf)), nearest)


def _grow(matrix: NDArray[np.float32], targets: Integers, settings: ForestSettings, seed: int) -> Any:
    from sklearn.ensemble import RandomForestClassifier

    return RandomForestClassifier(**settings.library_parameters(seed)).fit(matrix, targets)


def _loss(probabilities: Floats, targets: Integers, objective: Objective) -> float:
    """Less is better."""
    if objective == "weighted_f1":
        return 1 - weighted_f1(probabilities, targets)
    chosen = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chosen, LEAST_PROBABILITY)).mean())
