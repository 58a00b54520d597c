"""Figures of a classifier on rows it has not seen, with bootstrap intervals."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
CALIBRATION_BINS = 10
RESAMPLES = 1_000


@dataclass(frozen=True, slots=True)
class Figure:
    """A value with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class LabelFigures:
    """One label's row of the per-class table."""

    label: str
    precision: float
    recall: float
    f1: float
    tracks: int


def accuracy(probabilities: Floats, targets: Integers) -> float:
    """Share of rows whose most probable label is right. (n, k) and (n,) -> 0 to 1."""
    return float((probabilities.argmax(axis=1) == targets).mean())


def macro_f1(probabilities: Floats, targets: Integers) -> float:
    """Mean over the labels present of the harmonic mean of precision and recall; 0 to 1."""
    scores, rows = _f1_of_labels(probabilities, targets)
    return float(scores[rows > 0].mean())


def weighted_f1(probabilities: Floats, targets: Integers) -> float:
    """The same mean, in which each label counts as often as it has rows; 0 to 1."""
    scores, rows = _f1_of_labels(probabilities, targets)
    return float((scores * rows).sum() / rows.sum())


def _f1_of_labels(probabilities: Floats, targets: Integers) -> tuple[Floats, Integers]:
    """(k,) F1 of each label, and (k,) how many rows it has."""
    predicted, labels = probabilities.argmax(axis=1), probabilities.shape[1]
    right = np.bincount(targets[predicted == targets], minlength=labels)
    rows = np.bincount(targets, minlength=labels)
    return 2 * right / np.maximum(np.bincount(predicted, minlength=labels) + rows, 1), rows


def calibration_error(probabilities: Floats, targets: Integers) -> float:
    """Expected calibration error: mean distance of confidence and accuracy over 10 equal bins of confidence.

    Source: Naeini et al. 2015; Guo et al. 2017, arXiv 1706.04599.
    """
    confidence = probabilities.max(axis=1)
    right = probabilities.argmax(axis=1) == targets
    bins = np.minimum((confidence * CALIBRATION_BINS).astype(int), CALIBRATION_BINS - 1)
    gaps = np.bincount(bins, weights=right - confidence, minlength=CALIBRATION_BINS)
    return float(np.abs(gaps).sum() / len(targets))


Metric = Callable[[Floats, Integers], float]
METRICS: dict[str, Metric] = {
    "accuracy": accuracy,
    "macro_f1": macro_f1,
    "weighted_f1": weighted_f1,
    "calibration_error": calibration_error,
}


def figures(runs: list[tuple[Floats, Integers]], groups: Integers, *, seed: int = 0) -> dict[str, Figure]:
    """Every metric, averaged over the runs (one a seed), with a bootstrap interval over groups of tracks.

    Args:
        runs: (n, k) probabilities and (n,) targets of each seed, over the same rows in the same order.
        groups: (n,) group of each row; whole groups are drawn, as tracks of one are alike.
    """
    drawn = _draws(groups, seed)
    answer = {}
    for name, metric in METRICS.items():
        value = float(np.mean([metric(*run) for run in runs]))
        samples = [np.mean([metric(p[rows], t[rows]) for p, t in runs]) for rows in drawn]
        # Resampling alone raises the calibration error (repeated rows agree with each other): take that shift out.
        low, high = np.quantile(samples, [0.025, 0.975]) - (np.mean(samples) - value)
        answer[name] = Figure(value, max(float(low), 0.0), min(float(high), 1.0))
    return answer


def per_label(runs: list[tuple[Floats, Integers]], labels: tuple[str, ...]) -> list[LabelFigures]:
    """Precision, recall and F1 of each label, over all runs together."""
    predicted = np.concatenate([p.argmax(axis=1) for p, _ in runs])
    targets = np.concatenate([t for _, t in runs])
    rows = []
    for number, label in enumerate(labels):
        right = int(((predicted == number) & (targets == number)).sum())
        said, true = int((predicted == number).sum()), int((targets == number).sum())
        rows.append(
            LabelFigures(
                label,
                right / max(said, 1),
                right / max(true, 1),
                2 * right / max(said + true, 1),
                true // len(runs),
            )
        )
    return rows


def confusion(runs: list[tuple[Floats, Integers]], labels: int) -> Integers:
    """(labels, labels) how often a track of the label of the row was given the label of the column, all runs added."""
    counts = np.zeros((labels, labels), dtype=np.int64)
    for probabilities, targets in runs:
        np.add.at(counts, (targets, probabilities.argmax(axis=1)), 1)
    return counts


def _draws(groups: Integers, seed: int) -> list[Integers]:
    generator = np.random.default_rng(seed)
    members = [np.flatnonzero(groups == group) for group in np.unique(groups)]
    return [
        np.concatenate([members[index] for index in generator.integers(0, len(members), len(members))])
        for _ in range(RESAMPLES)
    ]
