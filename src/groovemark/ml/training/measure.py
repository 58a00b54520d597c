"""Going through the rounds of a protocol: fit on one side, score the other, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.metrics import figures
from groovemark.ml.evaluation.splits import shared_groups
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.training.card import Scored
from groovemark.ml.training.protocol import Round

Report = Callable[[str], None]


class Fitted(Protocol):
    """What a family's `fit` returns."""

    @property
    def chosen(self) -> Mapping[str, Any]: ...
    def probabilities(self, table: FeatureTable) -> NDArray[np.float64]: ...


@dataclass(frozen=True)
class Measured:
    """One protocol gone through: its figures, the answers of every seed, and what the first seed came to.

    Attributes:
        runs: (t, k) answers and (t,) targets of the tracks that were scored, a pair a seed.
        chosen: in each round of the first seed.
        first_seed: its models, where they are kept.
        rows: (t,) the first row of each of these tracks.
        shared_groups: groups that stood on both sides of a round, summed over all rounds.
    """

    scored: Scored
    runs: list[tuple[NDArray[np.float64], NDArray[np.int64]]]
    chosen: list[Mapping[str, Any]]
    first_seed: list[Fitted]
    rows: NDArray[np.int64]
    shared_groups: int


def measure(
    name: str,
    dataset: Dataset,
    rounds: Callable[[int], Iterable[Round]],
    fit_round: Callable[[Round, int], Fitted],
    seeds: Sequence[int],
    report: Report,
    *,
    keeps_models: bool = False,
) -> Measured:
    """Fit and score every round of every seed; a track's answer is the mean over its windows.

    Args:
        rounds: the rounds of a seed; together they score the same rows for each seed.
        fit_round: fits on a round's training side with a seed; it must not look at the scoring side.
        keeps_models: those of the first seed, for which all rounds' must have room in memory at once.
    """
    runs, chosen, first_seed = [], [], []
    shared = 0
    for seed in seeds:
        answers = np.full((len(dataset), len(dataset.labels)), np.nan)
        for number, entry in enumerate(rounds(seed), start=1):
            shared += shared_groups(dataset.groups, entry.train, entry.test)
            fitted = fit_round(entry, seed)
            answers[entry.test] = fitted.probabilities(dataset.take(entry.test).table)
            report(f"{name}: seed {seed}, round {number}: {dict(fitted.chosen)}")
            if seed == seeds[0]:
                chosen.append(fitted.chosen)
                first_seed += [fitted] if keeps_models else []
        scored_rows = np.flatnonzero(np.isfinite(answers[:, 0]))
        first, means = mean_of_tracks(answers[scored_rows], dataset.tracks[scored_rows])
        runs.append((means, dataset.targets[scored_rows[first]]))
    rows = scored_rows[first]
    measured = figures(runs, dataset.groups[rows])
    report(f"{name}: " + ", ".join(f"{metric} {figure.value:.3f}" for metric, figure in measured.items()))
    return Measured(Scored(name, len(rows), measured), runs, chosen, first_seed, rows, shared)


def mean_of_tracks(
    answers: NDArray[np.float64], tracks: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The mean answer of each track over its rows, as `predict_audio` takes it.

    Args:
        answers: (n, k) of rows.
        tracks: (n,) whose each row is.

    Returns:
        (t,) the first row of each track, in ascending order of the track's number; (t, k) the means.
    """
    _, first, places = np.unique(tracks, return_index=True, return_inverse=True)
    totals = np.zeros((len(first), answers.shape[1]))
    np.add.at(totals, places, answers)
    return first, totals / np.bincount(places)[:, None]
