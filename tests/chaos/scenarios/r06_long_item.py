"""R6: an item that takes ten leases is begun once, though another worker stands by."""

from __future__ import annotations

import hashlib

from tests.chaos.counting import calls, clip, count, post_zip
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import LEASE_S


def play(act: Act) -> Outcome:
    act.site.ready(2, watched=True)
    outcome = Outcome(trials=act.size["trials"])
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        content = marked(clip(), slow(act.size["leases"] * 10 * LEASE_S), number=act.random.getrandbits(31))
        with act.site.client() as api:
            path = post_zip(api, {"long.wav": content})
            outcome.add(count(act.site, api, path, succeed=["long.wav"]))
        begun = [sha256 for _, sha256 in calls(act.site)].count(hashlib.sha256(content).hexdigest())
        outcome.doubled += max(0, begun - 1)
        outcome.expect(begun > 0, "the item was not seen to be begun")
    return outcome


SCENARIO = Scenario(
    "R6",
    "an item of ten leases is executed once",
    play,
    full={"trials": 3, "leases": 10},
    short={"trials": 1, "leases": 3},
)
