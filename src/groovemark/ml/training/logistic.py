"""Logistic regression for heads: one linear score a label, whatever labels the rows have."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.training.calibration import fit_temperature

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]


def fit_logistic(inputs: Floats, targets: Integers, labels: int, *, inverse_penalty: float) -> tuple[Floats, Floats]:
    """(d, labels) weights and (labels,) bias of (n, d) rows; a label that no row has scores as low as the lowest."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(C=inverse_penalty, max_iter=1000).fit(inputs, targets)
    coefficients, intercepts = linear.coef_, linear.intercept_
    if len(linear.classes_) == 2:
        coefficients, intercepts = np.vstack([-coefficients, coefficients]), np.append(-intercepts, intercepts)
    weights, bias = np.zeros((coefficients.shape[1], labels)), np.full(labels, intercepts.min())
    weights[:, linear.classes_] = coefficients.T
    bias[linear.classes_] = intercepts
    return weights, bias


def calibrated_loss(scores: Floats, targets: Integers) -> float:
    """Mean log loss of (n, k) scores of rows that were held out, at the temperature that suits them best."""
    scores = scores / fit_temperature(scores, targets)
    shifted = scores - scores.max(axis=1, keepdims=True)
    return float((np.log(np.exp(shifted).sum(axis=1)) - shifted[np.arange(len(targets)), targets]).mean())
