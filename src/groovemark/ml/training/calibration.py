"""Temperature scaling (Guo et al. 2017, arXiv 1706.04599)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

TEMPERATURES = np.geomspace(0.25, 4.0, 161)


def fit_temperature(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """The temperature T with the least log loss of softmax(scores / T), on a grid from 1/4 to 4.

    Args:
        scores: (n, k) raw scores of rows that the model has not seen.
        targets: (n,) label numbers.
    """
    losses = [_log_loss(scores / temperature, targets) for temperature in TEMPERATURES]
    return float(TEMPERATURES[int(np.argmin(losses))])


def rescaled(
    probabilities: NDArray[np.float64],
    targets: NDArray[np.int64],
    groups: NDArray[np.int64],
    *,
    folds: int = 5,
    seed: int = 0,
) -> tuple[NDArray[np.float64], float]:
    """Answers after temperature scaling, each by a temperature fitted on the groups of other folds alone.

    Args:
        probabilities: (n, k), each row summing to 1.
        groups: (n,) rows of one group are in one fold.

    Returns:
        (n, k); the mean temperature, 1 where there are too few groups to fit any.
    """
    numbers, places = np.unique(groups, return_inverse=True)
    if len(numbers) < 2:
        return probabilities, 1.0
    folds = min(folds, len(numbers))
    fold = (np.random.default_rng(seed).permutation(len(numbers)) % folds)[places]  # (n,)
    scores = np.log(np.maximum(probabilities, np.finfo(np.float64).tiny))
    answers, temperatures = np.empty_like(scores), []
    for number in range(folds):
        held = fold == number
        temperatures.append(fit_temperature(scores[~held], targets[~held]))
        powers = np.exp(scores[held] / temperatures[-1])
        answers[held] = powers / powers.sum(axis=1, keepdims=True)
    return answers, float(np.mean(temperatures))


def log_loss(probabilities: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    """Mean of -log of the probability that the right label was given, in nats; (n, k) and (n,)."""
    chosen = probabilities[np.arange(len(targets)), targets]
    return float(-np.log(np.maximum(chosen, np.finfo(np.float64).tiny)).mean())


def _log_loss(scores: NDArray[np.float64], targets: NDArray[np.int64]) -> float:
    shifted = scores - scores.max(axis=1, keepdims=True)
    chosen = shifted[np.arange(len(targets)), targets]
    return float((np.log(np.exp(shifted).sum(axis=1)) - chosen).mean())
