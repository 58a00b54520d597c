"""R1: workers are killed at random points of a batch; every shard they had goes on within a lease and 10 s.

It goes on at another worker, so one that has started is always left: how long a start takes is another question.

A shard whose worker dies costs an attempt, and an item of a shard that has used up its attempts fails, as it must where
the item is to blame. Fifty deaths in one short batch may hit one shard three times without blame, so ATTEMPTS_MAX is
larger here.
"""

from __future__ import annotations

import time

from tests.chaos.counting import clips, count, done, post_zip, wait_until_done
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import LEASE_S, Running, Site

RESUMED_WITHIN_S = LEASE_S + 10
WORKERS = 2
PATIENT = {"ATTEMPTS_MAX": "100"}


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    settings = PATIENT if act.size["kills"] > 1 else {}
    site.ready(WORKERS, **settings)
    names = clips(act.size["items"])
    points = sorted(act.random.sample(range(act.size["items"] - 16), act.size["kills"]))
    slowest_s = 0.0
    with site.client() as api:
        path = post_zip(api, names)
        for nth, point in enumerate(points, 1):
            wait_until_done(api, path, point)
            time.sleep(act.random.uniform(0, 0.05))
            act.random.choice(_victims(site)).kill()
            act.tell(f"kill {nth} of {len(points)} at item {done(api, path)}")
            held = _held(site)
            killed_at = time.monotonic()
            site.workers = [worker for worker in site.workers if worker.is_alive]
            site.start_worker(**settings)
            while _held(site) & held:
                if time.monotonic() - killed_at > RESUMED_WITHIN_S * act.patience:
                    outcome.broken.append(f"kill {nth}: a shard did not go on within {RESUMED_WITHIN_S} s")
                    break
                time.sleep(0.05)
            slowest_s = max(slowest_s, time.monotonic() - killed_at)
        outcome.add(count(site, api, path, succeed=names))
    outcome.trials = len(points)
    outcome.notes.append(f"slowest resumption {slowest_s:.1f} s")
    return outcome


def _victims(site: Site) -> list[Running]:
    """Workers beside which there is one that decodes."""
    while not (ready := [worker for worker in site.workers if worker.says("decoders ready")]):
        time.sleep(0.02)
    return [worker for worker in site.workers if ready != [worker]]


def _held(site: Site) -> set[tuple[object, object]]:
    """Jobs that a worker has, and its token."""
    rows = site.fetch("SELECT id, lease_token FROM job WHERE state = 'running'")
    return {(row["id"], row["lease_token"]) for row in rows}


SCENARIO = Scenario(
    "R1",
    "kill -9 a worker in mid-batch",
    play,
    full={"items": 2_000, "kills": 50},
    short={"items": 60, "kills": 1},
)
