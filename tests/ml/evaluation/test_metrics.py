from __future__ import annotations

import numpy as np
import pytest

from groovemark.ml.evaluation.metrics import (
    Metric,
    accuracy,
    calibration_error,
    confusion,
    figures,
    macro_f1,
    per_label,
    weighted_f1,
)


def one_hot(answers: list[int], labels: int = 3) -> np.ndarray:
    return np.eye(labels)[answers]


def test_accuracy_is_the_share_of_right_answers() -> None:
    assert accuracy(one_hot([0, 1, 2, 0]), np.array([0, 1, 2, 1])) == 0.75


@pytest.mark.parametrize(("average", "metric"), [("macro", macro_f1), ("weighted", weighted_f1)])
def test_f1_agrees_with_scikit_learn(average: str, metric: Metric) -> None:
    from sklearn.metrics import f1_score

    generator = np.random.default_rng(0)
    targets, answers = generator.choice(3, 200, p=[0.6, 0.3, 0.1]), generator.integers(0, 3, 200)
    expected = f1_score(targets, answers, average=average)
    assert metric(one_hot(answers.tolist()), targets) == pytest.approx(expected)


def test_calibration_error_of_confidence_that_comes_true_is_zero() -> None:
    probabilities = np.array([[0.75, 0.25]] * 4)
    assert calibration_error(probabilities, np.array([0, 0, 0, 1])) == pytest.approx(0)


def test_calibration_error_of_certain_and_wrong_is_one() -> None:
    assert calibration_error(one_hot([0, 0]), np.array([1, 2])) == 1


def test_interval_holds_the_value_and_narrows_with_more_groups() -> None:
    generator = np.random.default_rng(0)

    def width(tracks: int) -> float:
        targets = generator.integers(0, 3, tracks)
        answers = np.where(generator.random(tracks) < 0.7, targets, 0)
        figure = figures([(one_hot(answers.tolist()), targets)], np.arange(tracks))["accuracy"]
        assert figure.low <= figure.value <= figure.high
        return figure.high - figure.low

    assert width(900) < width(100)


def test_tracks_of_one_group_do_not_narrow_the_interval() -> None:
    answers, targets = one_hot([0, 1, 2, 0] * 5), np.array([0, 1, 0, 1] * 5)
    alone = figures([(answers, targets)], np.arange(20))["accuracy"]
    copies = (np.repeat(answers, 9, axis=0), np.repeat(targets, 9))
    together = figures([copies], np.repeat(np.arange(20), 9))["accuracy"]
    assert together.high - together.low == pytest.approx(alone.high - alone.low, abs=0.02)


def test_label_that_is_never_answered_has_zero_precision_and_recall() -> None:
    rows = per_label([(one_hot([0, 0, 1]), np.array([0, 2, 1]))], ("a", "b", "c"))
    assert [(row.label, row.tracks) for row in rows] == [("a", 1), ("b", 1), ("c", 1)]
    assert (rows[2].precision, rows[2].recall, rows[2].f1) == (0, 0, 0)
    assert (rows[0].precision, rows[0].recall) == (0.5, 1)


def test_confusion_has_right_labels_in_rows_and_adds_the_runs() -> None:
    run = (one_hot([0, 2, 2]), np.array([0, 1, 2]))
    assert confusion([run, run], 3).tolist() == [[2, 0, 0], [0, 0, 2], [0, 0, 2]]
