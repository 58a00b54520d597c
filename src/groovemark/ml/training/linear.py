"""One linear score a label, whatever labels the rows have: logistic regression and discriminant analysis."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.training.calibration import fit_temperature

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
_TOLERANCE = 1e-6
"""Of the loss's steepest slope. At scikit-learn's 1e-4 the third digit of a weight depends on the solver's way."""
_SMALLEST = 1e-12
"""Share of the largest variance below which a direction is nothing but rounding."""


def fit_logistic(
    inputs: Floats | csr_matrix, targets: Integers, labels: int, *, inverse_penalty: float
) -> tuple[Floats, Floats]:
    """(d, labels) weights and (labels,) bias of (n, d) rows; a label that no row has scores as low as the lowest."""
    from sklearn.linear_model import LogisticRegression

    linear = LogisticRegression(C=inverse_penalty, max_iter=1000, tol=_TOLERANCE)
    if inputs.shape[0] >= inputs.shape[1]:
        return _for_every_label(linear.fit(inputs, targets), labels)
    coordinates, back = _within_their_span(inputs)
    weights, bias = _for_every_label(linear.fit(coordinates, targets), labels)
    return back(weights), bias


def fit_discriminant(inputs: Floats, targets: Integers, labels: int, *, shrinkage: float) -> tuple[Floats, Floats]:
    """The same by linear discriminant analysis, whose covariance is drawn towards its diagonal by that share."""
    from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

    linear = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage)
    return _for_every_label(linear.fit(inputs, targets), labels)


def _within_their_span(inputs: Floats | csr_matrix) -> tuple[Floats, Callable[[Floats], Floats]]:
    """(n, r) coordinates of n rows in the space that they span, and the way back for (r, labels) weights.

    A penalty on the length of the weights leaves none outside of that space (Hastie & Tibshirani 2004, "Efficient
    quadratic regularization for expression arrays"): the solution is the same, and with few rows of thousands of words
    it is found twenty times faster.
    """
    products = inputs @ inputs.T
    squares, directions = np.linalg.eigh(products if isinstance(products, np.ndarray) else products.toarray())
    kept = squares > squares.max() * _SMALLEST
    lengths, directions = np.sqrt(squares[kept]), directions[:, kept]
    return directions * lengths, lambda weights: np.asarray(inputs.T @ (directions / lengths @ weights))


def _for_every_label(linear: Any, labels: int) -> tuple[Floats, Floats]:
    """(d, labels) weights and (labels,) bias of a scikit-learn model that may have met fewer labels, or only two."""
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
