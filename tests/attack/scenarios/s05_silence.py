"""S5: hours of silence in a few kilobytes, and headers that claim still more."""

from __future__ import annotations

from tests.attack.place import SETTINGS, codes, ready_worker, unharmed
from tests.attack.silence import bombs
from tests.chaos.scenario import Act, Outcome, Scenario

GROWN_MIB_MAX = 300


def play(act: Act) -> Outcome:
    attacks = bombs(act.size["hours"], streamed=bool(act.size["streamed"]))
    outcome = Outcome(trials=len(attacks))
    worker = ready_worker(act.site)
    with unharmed(act.site, outcome, worker, grown_mib_max=GROWN_MIB_MAX), act.site.client() as api:
        found = codes(api, {name: content for name, (content, _) in attacks.items()}, within_s=900)
    for name, (_, allowed) in attacks.items():
        outcome.expect(found.get(name) in allowed, f"{name}: {found.get(name)}")
    return outcome


SCENARIO = Scenario(
    "S5",
    "silence that expands 3,788 times and more, and lengths that headers lie about: too_long, memory + 300 MB",
    play,
    full={"hours": 10, "streamed": 1},
    short={"hours": 5, "streamed": 0},
    settings=SETTINGS,
)
