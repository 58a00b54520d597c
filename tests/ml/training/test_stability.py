from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_data import CONFIG

from groovemark.errors import ConfigurationError
from groovemark.ml.evaluation.robustness import Level, Robustness
from groovemark.ml.training.calibration import log_loss, rescaled
from groovemark.ml.training.config import read_config
from groovemark.ml.training.stability import StabilityClaim, check_claims

CLAIM = '\n[[stability]]\ndisturbance = "noise"\nlevel = 1\nagreement = 0.5\n'


def test_claim_holds_from_the_agreement_that_it_names() -> None:
    measured = Robustness(10, 0, None, (Level("noise", 0.1, 0.8, None, 0), Level("shift", 2.0, 0.7, None, 0)))
    claims = [StabilityClaim("noise", 0.1, 0.8), StabilityClaim("shift", 2.0, 0.8)]
    checked = check_claims(claims, measured)
    assert [(entry.agreement, entry.holds) for entry in checked] == [(0.8, True), (0.7, False)]


def test_claims_are_read_from_the_configuration(tmp_path: Path) -> None:
    path = tmp_path / "train.toml"
    path.write_text(CONFIG + CLAIM)
    assert read_config(path).stability == (StabilityClaim("noise", 1, 0.5),)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("level = 1", "level = 0.3", "there is no noise 0.3; there are noise: 0.01, 0.1"),
        ('"noise"', '"hail"', "there is no hail 1"),
        ("0.5", "1.5", "agreement must be"),
        ("level = 1\n", "", "lacks the entry stability.level"),
    ],
)
def test_claim_that_no_curve_can_settle_is_refused(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    path = tmp_path / "train.toml"
    path.write_text(CONFIG + CLAIM.replace(old, new))
    with pytest.raises(ConfigurationError, match=complaint):
        read_config(path)


def sure_answers() -> tuple[np.ndarray, np.ndarray]:
    """Three quarters right, all with a confidence of 0.99."""
    generator = np.random.default_rng(0)
    targets = generator.integers(0, 3, 400)
    given = np.where(generator.random(400) < 0.75, targets, (targets + 1) % 3)
    return np.where(np.eye(3)[given] > 0, 0.99, 0.005), targets


def test_scaling_makes_answers_less_sure_that_were_too_sure() -> None:
    answers, targets = sure_answers()
    scaled, temperature = rescaled(answers, targets, np.arange(400))
    assert temperature > 1
    assert scaled.max() == pytest.approx(0.75, abs=0.06)
    assert (scaled.argmax(axis=1) == answers.argmax(axis=1)).all()
    assert log_loss(scaled, targets) < log_loss(answers, targets)


def test_no_track_has_a_say_in_its_own_temperature() -> None:
    """Changing the labels of one group leaves that group's scaled answers as they are."""
    answers, targets = sure_answers()
    groups = np.arange(400) // 40
    changed = np.where(groups == 3, (targets + 1) % 3, targets)
    before, after = (rescaled(answers, labels, groups)[0] for labels in (targets, changed))
    assert np.array_equal(before[groups == 3], after[groups == 3])
    assert not np.array_equal(before, after)


def test_one_group_alone_is_left_as_it_is() -> None:
    answers, targets = sure_answers()
    scaled, temperature = rescaled(answers, targets, np.zeros(400, dtype=np.int64))
    assert (temperature, np.array_equal(scaled, answers)) == (1.0, True)
