"""Arithmetic of scores, in which a row has the same bits alone and among others."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def signed_logarithms(numbers: Floats) -> Floats:
    """ln(1 + |x|) with the sign of x, of any shape."""
    return np.asarray(np.copysign(np.log1p(np.abs(numbers)), numbers))


def linear_scores(inputs: Floats, weights: Floats, bias: Floats) -> Floats:
    """(n, d) inputs, (d, k) weights and (k,) bias -> (n, k).

    Row by row: the product of a higher matrix adds in another order.
    """
    scores = np.empty((len(inputs), len(bias)))
    for row, answer in zip(inputs, scores, strict=True):
        np.dot(row, weights, out=answer)
    return scores + bias


def softmax(scores: Floats) -> Floats:
    """(n, k) scores -> (n, k) probabilities."""
    powers = np.exp(np.maximum(scores - scores.max(axis=1, keepdims=True), -700))
    return np.asarray(powers / powers.sum(axis=1, keepdims=True))


def logarithms(probabilities: Floats) -> Floats:
    """Finite for 0 as well, of any shape."""
    return np.asarray(np.log(np.maximum(probabilities, np.finfo(np.float64).tiny)))


def tempered(probabilities: Floats, temperature: float) -> Floats:
    """(n, k) probabilities -> those of their logarithms divided by the temperature: below 1 they are surer."""
    return probabilities if temperature == 1 else softmax(logarithms(probabilities) / temperature)


def sigmoid(scores: Floats) -> Floats:
    """(n, k) scores -> (n, k) probabilities, each for itself."""
    powers = np.exp(scores.clip(-500, 500))
    return np.asarray(powers / (1 + powers))
