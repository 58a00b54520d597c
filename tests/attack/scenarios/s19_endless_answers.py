"""S19: servers whose answers have no end, drip, or are not what they say."""

from __future__ import annotations

from tests.attack.fetching import Ways, play
from tests.attack.place import SETTINGS
from tests.chaos.scenario import Act, Outcome, Scenario

KINDS = ("endless", "packed", "large", "heads", "drip", "slowhead", "silence")
QUICK = 4


def attack(act: Act) -> Outcome:
    kinds = KINDS if act.size["slow"] else KINDS[:QUICK]

    def urls(ways: Ways) -> list[str]:
        return [f"{ways.outside}/{kind}/{number}.wav" for kind in kinds for number in range(act.size["each"])]

    return play(act, urls)


SCENARIO = Scenario(
    "S19",
    "endless or dripping answers: caps on bytes and time",
    attack,
    full={"each": 4, "slow": 1},
    short={"each": 1, "slow": 0},
    settings=SETTINGS,
)
