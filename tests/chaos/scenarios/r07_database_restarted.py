"""R7: PostgreSQL restarts again and again under a batch; no process of groovemark is restarted by hand.

Only restarts count that met the batch unfinished. The items take their time, so that there are enough of them.
"""

from __future__ import annotations

import time

import httpx

from tests.chaos.counting import clip, clips, count, post_zip
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.ledger import FINAL


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    workers = site.ready(2, watched=True)
    assert site.api is not None
    seed = act.random.getrandbits(16) << 15
    names = {f"{number}.wav": marked(clip(), slow(1), number=seed + number) for number in range(act.size["items"])}
    with site.client() as api:
        path = post_zip(api, names)
        while outcome.trials < act.size["restarts_max"]:
            time.sleep(act.random.uniform(act.size["pause_min_s"], act.size["pause_max_s"]))
            if _has_ended(api, path):
                break
            site.cluster.restart()
            outcome.trials += 1
            act.tell(f"restart {outcome.trials}")
        least = act.size["restarts_min"]
        outcome.expect(outcome.trials >= least, f"{outcome.trials} restarts under way, and not {least}")
        outcome.add(count(site, api, path, succeed=names, within_s=act.size["ends_within_s"]))
        again = clips(20)
        outcome.add(count(site, api, post_zip(api, again), succeed=again))
    alive = [process.is_alive for process in (site.api, *workers)]
    outcome.expect(all(alive), f"processes ended: {alive}")
    return outcome


def _has_ended(api: httpx.Client, path: str) -> bool:
    answer = api.get(path)
    return answer.status_code == httpx.codes.OK and answer.json()["state"] in FINAL


SCENARIO = Scenario(
    "R7",
    "PostgreSQL restarted every 5 to 40 s",
    play,
    full={
        "items": 5_000,
        "restarts_min": 5,
        "restarts_max": 1_000,
        "pause_min_s": 5,
        "pause_max_s": 40,
        "ends_within_s": 900,
    },
    short={"items": 60, "restarts_min": 1, "restarts_max": 1, "pause_min_s": 0, "pause_max_s": 1, "ends_within_s": 60},
)
