"""The list of guards fits the code and the scenarios; `make guards` plays it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.attack.guards import GUARDS as ATTACKS_GUARDS
from tests.attack.register import SCENARIOS as ATTACKS
from tests.chaos.guards import GUARDS, Guard, remove
from tests.chaos.register import SCENARIOS
from tests.chaos.site import REPOSITORY


def test_every_scenario_has_a_guard_without_which_it_must_break() -> None:
    assert [guard.scenario for guard in GUARDS] == [scenario.name for scenario in SCENARIOS]
    assert [guard.scenario for guard in ATTACKS_GUARDS] == [scenario.name for scenario in ATTACKS]


@pytest.mark.parametrize("guard", [*GUARDS, *ATTACKS_GUARDS], ids=lambda guard: guard.scenario)
def test_guard_stands_where_it_is_said_to_stand(guard: Guard, tmp_path: Path) -> None:
    (tmp_path / guard.file).parent.mkdir(parents=True)
    shutil.copy(REPOSITORY / guard.file, tmp_path / guard.file)
    remove(guard, tmp_path)
    changed = (tmp_path / guard.file).read_text()
    assert changed != (REPOSITORY / guard.file).read_text()
    compile(changed, guard.file, "exec")
