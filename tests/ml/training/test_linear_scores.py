"""Linear scores: the shortcut for few rows of many numbers is scikit-learn's own solution."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from sklearn.linear_model import LogisticRegression

from groovemark.ml.training.linear import fit_discriminant, fit_logistic


def rows(count: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """Counts of words, mostly none, and three labels."""
    random = np.random.default_rng(0)
    targets = np.arange(count) % 3
    return random.poisson(0.1 + 0.4 * (np.arange(width) % 3 == targets[:, None])).astype(float), targets


@pytest.mark.parametrize(("count", "width"), [(30, 400), (120, 20)])
@pytest.mark.parametrize("kind", [np.asarray, csr_matrix])
def test_weights_are_those_of_logistic_regression_on_all_numbers(count: int, width: int, kind: type) -> None:
    """Of 338 tracks with 3,402 words each of twenty fits of a round took seconds."""
    inputs, targets = rows(count, width)
    expected = LogisticRegression(C=5.0, max_iter=1000, tol=1e-10).fit(inputs, targets)
    weights, bias = fit_logistic(kind(inputs), targets, 3, inverse_penalty=5.0)
    assert np.abs(expected.coef_).max() > 0.1
    np.testing.assert_allclose(weights, expected.coef_.T, atol=2e-4)
    np.testing.assert_allclose(bias, expected.intercept_, atol=1e-2)


def test_repeated_and_empty_rows_change_nothing_of_that() -> None:
    """They span nothing of their own."""
    inputs, targets = rows(30, 400)
    inputs, targets = (
        np.vstack([inputs, inputs[:9], np.zeros((3, 400))]),
        np.concatenate([targets, targets[:9], [0] * 3]),
    )
    expected = LogisticRegression(C=5.0, max_iter=1000, tol=1e-10).fit(inputs, targets)
    weights, _ = fit_logistic(inputs, targets, 3, inverse_penalty=5.0)
    np.testing.assert_allclose(weights, expected.coef_.T, atol=2e-4)


@pytest.mark.parametrize("width", [10, 400])
def test_a_label_without_rows_scores_as_low_as_the_lowest(width: int) -> None:
    inputs, targets = rows(30, width)
    fits = (
        fit_logistic(inputs, 2 * targets, 5, inverse_penalty=1.0),
        fit_discriminant(inputs, 2 * targets, 5, shrinkage=0.5),
    )
    for weights, bias in fits:
        assert weights.shape == (width, 5)
        assert not weights[:, [1, 3]].any()
        assert weights[:, [0, 2, 4]].any(axis=0).all()
        assert bias[1] == bias[3] == bias.min()


def test_two_labels_have_opposite_scores() -> None:
    inputs, targets = rows(30, 400)
    weights, bias = fit_logistic(inputs, (targets > 0).astype(int), 2, inverse_penalty=1.0)
    np.testing.assert_array_equal(weights[:, 0], -weights[:, 1])
    assert bias[0] == -bias[1]
