"""R17: a batch is cancelled at half way: two seconds later no new item starts, and what was finished stays.

The workers hold so many more seconds of work at that moment that items would begin later, if the cancel did not stop
them.
"""

from __future__ import annotations

import time
import uuid

from tests.chaos.counting import calls, clip, done, downloaded, post_zip, promises, wait_until_done
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Site
from tests.ledger import watch

WORKERS = 2
ITEM_TENTHS_S = 7
STOPPED_WITHIN_S = 2
WATCHED_S = 1


def play(act: Act) -> Outcome:
    outcome = Outcome()
    act.site.ready(WORKERS, watched=True)
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        seed = act.random.getrandbits(20) << 10
        mark = slow(ITEM_TENTHS_S)
        names = {f"{number}.wav": marked(clip(), mark, number=seed + number) for number in range(act.size["items"])}
        with act.site.client() as api:
            path = post_zip(api, names)
            wait_until_done(api, path, len(names) // 2)
            finished = set(downloaded(api, path))
            left_s = _held(act.site, path) / WORKERS * ITEM_TENTHS_S / 10
            outcome.expect(left_s > STOPPED_WITHIN_S + 1, f"{left_s:.1f} s of work are left: nothing could begin late")
            cancelled_at = time.time()
            api.post(f"{path}/cancel")
            ended = watch(api, path, within_s=60)
            # The batch ends when nobody works on it; where time does not count, nothing may begin from then on.
            stopped_at = cancelled_at + STOPPED_WITHIN_S if act.patience == 1 else time.time()
            time.sleep(max(0.0, stopped_at + WATCHED_S - time.time()))
            begun = [when - cancelled_at for when, _ in calls(act.site) if when > cancelled_at]
            late = [when_s for when_s in begun if cancelled_at + when_s > stopped_at]
            outcome.expect(
                not late,
                f"{len(late)} items were begun later than {stopped_at - cancelled_at:.1f} s after the cancel, "
                f"the last after {max(late, default=0):.1f} s",
            )
            outcome.notes[:] = [f"{left_s:.1f} s of work left, the last begun {max(begun, default=0):.1f} s later"]
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


def _held(site: Site, path: str) -> int:
    """Items without an outcome of the shards that workers have: what they would go on with."""
    statement = """
        SELECT count(*) FROM job JOIN batch_item item ON item.batch_id = job.batch_id
        AND position BETWEEN first_position AND last_position
        WHERE job.batch_id = $1 AND kind = 'classify_shard' AND job.state = 'running' AND item.state = 'pending'
    """
    [row] = site.fetch(statement, uuid.UUID(path.rpartition("/")[2]))
    return int(row["count"])


SCENARIO = Scenario(
    "R17", "cancel at half way", play, full={"trials": 10, "items": 96}, short={"trials": 1, "items": 32}
)
