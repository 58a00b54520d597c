"""S17: a name that leads outside when it is checked, and inside when it is called."""

from __future__ import annotations

from tests.attack.fetching import play
from tests.attack.place import SETTINGS
from tests.chaos.scenario import Act, Outcome, Scenario


def attack(act: Act) -> Outcome:
    """The name answers in turn with an address outside and one inside; no stranger serves at the port inside."""
    return play(
        act, lambda ways: [f"http://rebind.test:{ways.inside}/{number}.wav" for number in range(act.size["urls"])]
    )


SCENARIO = Scenario(
    "S17",
    "DNS rebinding: the address that was checked is the one that is called",
    attack,
    full={"urls": 50},
    short={"urls": 4},
    settings=SETTINGS,
)
