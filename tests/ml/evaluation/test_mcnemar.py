from __future__ import annotations

import numpy as np
import pytest

from groovemark.ml.evaluation.mcnemar import mcnemar


def right(*counts: tuple[int, bool]) -> np.ndarray:
    return np.concatenate([np.full(count, value) for count, value in counts])


def test_p_value_is_that_of_as_many_unequal_coins() -> None:
    """One alone right 8 times, the other 1: both tails of 9 coins, 2 * (1 + 9) / 512."""
    candidate = right((20, True), (8, True), (1, False), (5, False))
    other = right((20, True), (8, False), (1, True), (5, False))
    found = mcnemar(candidate, other)
    assert (found.tracks, found.only_candidate_right, found.only_other_right) == (34, 8, 1)
    assert found.p_value == pytest.approx(20 / 512)


def test_turning_the_two_round_changes_nothing_but_the_sides() -> None:
    generator = np.random.default_rng(0)
    one, two = generator.random(200) < 0.6, generator.random(200) < 0.5
    assert mcnemar(one, two).p_value == mcnemar(two, one).p_value
    assert mcnemar(one, two).only_candidate_right == mcnemar(two, one).only_other_right


def test_models_that_are_right_on_the_same_tracks_do_not_differ() -> None:
    answers = np.array([True, False, True])
    assert mcnemar(answers, answers).p_value == 1


def test_answers_for_other_tracks_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        mcnemar(np.array([True]), np.array([True, False]))
