"""Going through the rounds of a protocol: fit on one side, score the other, seed by seed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.datasets.table import Dataset
from groovemark.ml.evaluation.metrics import figures
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
    """One protocol gone through: its figures, the answers of every seed, and the first seed's models."""

    scored: Scored
    runs: list[tuple[NDArray[np.float64], NDArray[np.int64]]]
    first_seed: list[Fitted]


def measure(
    name: str,
    dataset: Dataset,
    rounds: Callable[[int], Iterable[Round]],
    fit_round: Callable[[Round, int], Fitted],
    seeds: Sequence[int],
    report: Report,
) -> Measured:
    """Fit and score every round of every seed.

    Args:
        rounds: the rounds of a seed; together they score the same rows for each seed.
        fit_round: fits on a round's training side with a seed; it must not look at the scoring side.
    """
    runs, first_seed = [], []
    for seed in seeds:
        answers = np.full((len(dataset), len(dataset.labels)), np.nan)
        for number, entry in enumerate(rounds(seed), start=1):
            fitted = fit_round(entry, seed)
            answers[entry.test] = fitted.probabilities(dataset.take(entry.test).table)
            report(f"{name}: seed {seed}, round {number}: {dict(fitted.chosen)}")
            if seed == seeds[0]:
                first_seed.append(fitted)
        scored_rows = np.flatnonzero(np.isfinite(answers[:, 0]))
        runs.append((answers[scored_rows], dataset.targets[scored_rows]))
    measured = figures(runs, dataset.groups[scored_rows])
    report(f"{name}: " + ", ".join(f"{metric} {figure.value:.3f}" for metric, figure in measured.items()))
    return Measured(Scored(name, len(scored_rows), measured), runs, first_seed)
