"""What may follow what, in the code and in the drawing."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from groovemark.db.lifecycle import BATCH, BATCH_ENDED, DELIVERY, ITEM, JOB, JOB_ENDED, Machine, before

CONTRIBUTING = Path(__file__).parents[2] / "CONTRIBUTING.md"


@pytest.mark.parametrize(("machine", "first"), [(BATCH, "open"), (ITEM, "pending"), (JOB, "queued")])
def test_drawing_shows_what_the_code_allows(machine: Machine, first: str) -> None:
    drawings = re.findall(
        r"```mermaid\nstateDiagram-v2\n    \[\*\] --> (\w+)\n(.*?)```", CONTRIBUTING.read_text(), re.DOTALL
    )
    [drawn] = [lines for begin, lines in drawings if begin == first]
    arrows = {tuple(line.split(" --> ")) for line in drawn.strip().replace("    ", "").splitlines()}
    assert arrows == {(state, after) for state, following in machine.items() for after in following}


@pytest.mark.parametrize("machine", [BATCH, ITEM, JOB, DELIVERY])
def test_every_state_can_be_reached_from_the_first(machine: Machine) -> None:
    reached: set[str] = set()
    waiting = [next(iter(machine))]
    while waiting:
        state = waiting.pop()
        if state not in reached:
            reached.add(state)
            waiting += machine[state]
    assert reached == set(machine)


def test_what_has_ended_goes_on_only_by_a_retry() -> None:
    assert all(BATCH[state] == {"queued"} for state in BATCH_ENDED)
    assert not any(JOB[state] for state in JOB_ENDED)
    assert before(ITEM, "pending") == ["failed"]
