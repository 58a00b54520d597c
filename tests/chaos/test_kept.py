"""Which verdicts of earlier runs are taken over."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.chaos import __main__ as chaos
from tests.chaos import kept
from tests.chaos.scenario import Outcome, Scenario

SCENARIO = Scenario("R0", "nothing", lambda act: Outcome(), full={"trials": 2}, short={"trials": 1})


def test_hash_is_of_names_and_contents_of_code(tmp_path: Path) -> None:
    for name in ("src/groovemark/a.py", "migrations/b.py", "tests/c.py", "tests/chaos/d.py", "tests/attack/e.py"):
        before = kept.code_sha256(tmp_path)
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("1")
        added = kept.code_sha256(tmp_path)
        path.write_text("2")
        assert len({before, added, kept.code_sha256(tmp_path)}) == 3
    before = kept.code_sha256(tmp_path)
    (tmp_path / "src/groovemark/note.txt").write_text("no code")
    assert kept.code_sha256(tmp_path) == before


@pytest.fixture
def played(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """The seeds of what was really played; everything is kept, in code that has the hash 1."""
    seeds: list[int] = []

    def perform(*_: object, seed: int, is_short: bool) -> kept.Row:
        seeds.append(seed)
        return {"verdict": "kept"}

    monkeypatch.setattr(chaos, "_perform", perform)
    monkeypatch.setattr(kept, "code_sha256", lambda _: "1")
    return seeds


def _play(state: Path, scenario: Scenario = SCENARIO, *, seed: int = 1, fresh: bool = False) -> None:
    unused: Any = None
    assert chaos._kept_or_performed(scenario, unused, state, state, seed=seed, fresh=fresh)["verdict"] == "kept"


def test_verdict_is_kept_for_the_same_code_seed_and_sizes(
    tmp_path: Path, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state.json"
    _play(state)
    _play(state)
    assert played == [1]
    _play(state, fresh=True)
    _play(state, seed=2)
    assert played == [1, 1, 2]
    _play(state, Scenario("R0", "nothing", SCENARIO.play, full={"trials": 3}, short={}), seed=2)
    assert played == [1, 1, 2, 2]
    monkeypatch.setattr(kept, "code_sha256", lambda _: "2")
    _play(state, seed=2)
    assert played == [1, 1, 2, 2, 2]


def test_verdict_is_not_kept_when_the_code_changed_meanwhile(
    tmp_path: Path, played: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    hashes = iter("1222")
    monkeypatch.setattr(kept, "code_sha256", lambda _: next(hashes))
    _play(tmp_path / "state.json")
    assert kept.read(tmp_path / "state.json") == {}
    _play(tmp_path / "state.json")
    assert played == [1, 1]


def test_row_of_an_older_state_is_not_taken_over(tmp_path: Path, played: list[int]) -> None:
    kept.write(tmp_path / "state.json", {"R0": {"verdict": "kept"}})
    _play(tmp_path / "state.json")
    assert played == [1]
