"""The lists of guards fit the code and the scenarios, and what `make guards` makes of two verdicts."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.attack.guards import GUARDS as ATTACK_GUARDS
from tests.attack.register import SCENARIOS as ATTACKS
from tests.chaos.guards import GUARDS
from tests.chaos.register import SCENARIOS
from tests.chaos.site import REPOSITORY
from tests.guards import __main__ as playing
from tests.guards.guard import Guard, Piece


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


def _answers(control: str, without: str) -> Callable[[Guard, Path], tuple[str, list[str]]]:
    return lambda guard, root: (control if root.name == "control" else without, [])


@pytest.mark.parametrize(
    ("control", "without", "verdict"),
    [
        ("kept", "BROKEN", "noticed"),
        ("kept", "kept", "UNNOTICED"),
        ("kept", "DOWN", "NO VERDICT"),
        ("kept", "not ended after 900 s", "NO VERDICT"),
        ("BROKEN", "BROKEN", "NO VERDICT"),
        ("ended with status 1 and no table", "BROKEN", "NO VERDICT"),
        ("not run", "BROKEN", "not run"),
    ],
)
def test_guard_is_noticed_only_where_the_intact_copy_keeps_its_promise(
    control: str, without: str, verdict: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for folder in playing.COPIED:
        (tmp_path / "intact" / folder).mkdir(parents=True)
    (tmp_path / "intact" / "src" / "a.py").write_text("guarded = True")
    guard = Guard("R0", "it", Piece("src/a.py", "True", "False"))
    monkeypatch.setattr(playing, "_play", _answers(control, without))
    assert playing._judge(guard, tmp_path / "intact", tmp_path)["verdict"] == verdict
