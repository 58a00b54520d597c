"""Fitting one member: search, early stopping and temperature on inner folds, then trees on every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.boosting.classifier import Member, to_rows
from groovemark.ml.models.boosting.encode import Encoded, Matrix, fit_encoding
from groovemark.ml.models.boosting.predictor import make_predictor
from groovemark.ml.models.boosting.settings import ENCODING_SETTINGS, BoostingSettings
from groovemark.ml.models.boosting.tree_text import check_trees, compact
from groovemark.ml.models.held import Held
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.search import Ranges, search

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made.

    Attributes:
        settings: tried first; the search may replace those that `ranges` names.
        trials: how many settings the search tries on the inner folds; 0 keeps `settings`.
        seeds: one booster each; their raw scores are averaged.
    """

    settings: BoostingSettings
    ranges: Ranges
    trials: int
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it, and the text of the trees of each seed."""

    member: Member
    encoded: Encoded
    trees: Sequence[str]
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for rows the member has not seen."""
        return self.member.probabilities(to_rows(table, self.encoded.vocabulary))


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan with the default settings changed. Raises ConfigurationError for settings that cannot be searched."""
    chosen = BoostingSettings().changed(settings)
    for name in ranges:
        # The encoding is fitted once for all trials.
        if name in ENCODING_SETTINGS or name not in asdict(chosen):
            raise ConfigurationError(f"'{name}' cannot be searched; it is no setting of the trees")
    return Plan(chosen, ranges, trials, seeds)


@dataclass(frozen=True)
class _InnerFold:
    matrix: Matrix
    targets: Integers
    held_matrix: Matrix
    held_rows: Integers


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
        folds: inner (train, held-out) row numbers of this table; nothing else chooses settings, rounds, temperature.
        report: is told about the progress, a line at a time.
    """
    inner = [_inner_fold(table, targets, labels, fold, plan.settings) for fold in folds]

    def loss(values: Mapping[str, Any]) -> float:
        return _best_round(inner, targets, labels, plan.settings.changed(values))[1]

    values = search(loss, plan.ranges, asdict(plan.settings), trials=plan.trials, report=report)
    settings = plan.settings.changed(values)
    rounds, _ = _best_round(inner, targets, labels, settings)
    scores = np.concatenate([_held_scores(fold, labels, settings, rounds, plan.seeds) for fold in inner])
    held_rows = [fold.held_rows for fold in inner]
    temperature = fit_temperature(scores, targets[np.concatenate(held_rows)])
    encoded = fit_encoding(table, targets, labels, settings)
    boosters = (_grow(encoded.matrix, targets, labels, settings, rounds, seed) for seed in plan.seeds)
    trees = [compact(booster.model_to_string()) for booster in boosters]
    predictors = [make_predictor(check_trees(text), text) for text in trees]
    return Fitted(
        member=Member(encoded.encoding, predictors, temperature),
        encoded=encoded,
        trees=trees,
        held=Held.at(temperature, held_rows, scores),
        chosen={**values, "rounds": rounds, "temperature": round(temperature, 4)},
    )


def _inner_fold(
    table: FeatureTable,
    targets: Integers,
    labels: int,
    fold: tuple[Integers, Integers],
    settings: BoostingSettings,
) -> _InnerFold:
    train, held = fold
    encoded = fit_encoding(table.take(train), targets[train], labels, settings)
    return _InnerFold(encoded.matrix, targets[train], encoded.transform(table.take(held)), held)


def _best_round(
    inner: Sequence[_InnerFold], targets: Integers, labels: int, settings: BoostingSettings
) -> tuple[int, float]:
    """The number of rounds with the least log loss over all held-out rows, and that loss."""
    import lightgbm

    losses = np.zeros(settings.rounds_max)
    for fold in inner:
        record: dict[str, Any] = {}
        data = lightgbm.Dataset(fold.matrix, fold.targets)
        held = lightgbm.Dataset(fold.held_matrix, targets[fold.held_rows], reference=data)
        lightgbm.train(
            settings.library_parameters(labels, seed=0),
            data,
            settings.rounds_max,
            valid_sets=[held],
            callbacks=[lightgbm.record_evaluation(record)],
        )
        losses += len(fold.held_rows) * np.array(record["valid_0"]["multi_logloss"])
    losses /= sum(len(fold.held_rows) for fold in inner)
    best = int(losses.argmin())
    return best + 1, float(losses[best])


def _held_scores(
    fold: _InnerFold, labels: int, settings: BoostingSettings, rounds: int, seeds: Sequence[int]
) -> Floats:
    boosters = [_grow(fold.matrix, fold.targets, labels, settings, rounds, seed) for seed in seeds]
    return np.asarray(sum(b.predict(fold.held_matrix, raw_score=True) for b in boosters) / len(boosters))


def _grow(matrix: Matrix, targets: Integers, labels: int, settings: BoostingSettings, rounds: int, seed: int) -> Any:
    import lightgbm

    return lightgbm.train(settings.library_parameters(labels, seed), lightgbm.Dataset(matrix, targets), rounds)
