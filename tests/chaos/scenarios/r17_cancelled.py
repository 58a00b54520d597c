"""R17: a batch is cancelled at half way: two seconds later no new item starts, and what was finished stays."""

from __future__ import annotations

import time

from tests.chaos.counting import calls, clip, done, downloaded, post_zip, promises, wait_until_done
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.ledger import watch

STOPPED_WITHIN_S = 2
WATCHED_S = 1


def play(act: Act) -> Outcome:
    outcome = Outcome()
    act.site.ready(2, watched=True)
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        seed = act.random.getrandbits(20) << 10
        names = {f"{number}.wav": marked(clip(), slow(1), number=seed + number) for number in range(act.size["items"])}
        with act.site.client() as api:
            path = post_zip(api, names)
            wait_until_done(api, path, len(names) // 2)
            finished = set(downloaded(api, path))
            cancelled_at = time.time()
            api.post(f"{path}/cancel")
            ended = watch(api, path, within_s=60)
            # The batch ends when nobody works on it; where time does not count, nothing may begin from then on.
            stopped_at = cancelled_at + STOPPED_WITHIN_S if act.patience == 1 else time.time()
            time.sleep(max(0.0, stopped_at + WATCHED_S - time.time()))
            late = [when for when, _ in calls(act.site) if when > stopped_at]
            outcome.expect(not late, f"{len(late)} items were begun later than {STOPPED_WITHIN_S} s after the cancel")
            outcome.expect(ended["state"] == "cancelled", f"the batch is {ended['state']}")
            results = downloaded(api, path)
            outcome.lost += len(finished - set(results))
            outcome.doubled += len(results) - len(set(results))
            told = ended["counts"]
            outcome.expect(told["succeeded"] == len(results), f"counts {told} and {len(results)} results")
            outcome.expect(done(api, path) == len(names), f"counts {told} of {len(names)}")
            outcome.add(promises(act.site, api))
        outcome.trials += 1
    return outcome


SCENARIO = Scenario(
    "R17", "cancel at half way", play, full={"trials": 10, "items": 100}, short={"trials": 1, "items": 32}
)
