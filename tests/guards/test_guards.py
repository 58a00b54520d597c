"""The list of guards fits the code and the scenarios; `make guards` plays it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.attack.guards import GUARDS as ATTACK_GUARDS
from tests.attack.register import SCENARIOS as ATTACKS
from tests.chaos.guards import GUARDS
from tests.chaos.register import SCENARIOS
from tests.chaos.site import REPOSITORY
from tests.guards.guard import Guard


def test_every_scenario_has_a_guard_without_which_it_must_break() -> None:
    assert [guard.scenario for guard in GUARDS] == [scenario.name for scenario in SCENARIOS]
    assert [guard.scenario for guard in ATTACK_GUARDS] == [scenario.name for scenario in ATTACKS]


@pytest.mark.parametrize("guard", [*GUARDS, *ATTACK_GUARDS], ids=lambda guard: guard.scenario)
def test_guard_stands_where_it_is_said_to_stand(guard: Guard, tmp_path: Path) -> None:
    for file in {piece.file for piece in guard.pieces}:
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(REPOSITORY / file, tmp_path / file)
    for piece in guard.pieces:
        piece.remove(tmp_path)
    for file in {piece.file for piece in guard.pieces}:
        changed = (tmp_path / file).read_text()
        assert changed != (REPOSITORY / file).read_text()
        compile(changed, file, "exec")
