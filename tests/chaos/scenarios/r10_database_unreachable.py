"""R10: the database says nothing for a while; /ready says so, /live does not care, and all is well again soon."""

from __future__ import annotations

import time

import httpx

from tests.chaos.counting import clips, count, done, post_zip, wait_until_done
from tests.chaos.scenario import Act, Outcome, Scenario

NOT_READY_WITHIN_S = 5
RECOVERED_WITHIN_S = 15


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome(trials=1)
    site.ready(1)
    names = clips(act.size["items"])
    with site.client() as api:
        path = post_zip(api, names)
        wait_until_done(api, path, 1)
        with site.cluster.frozen():
            frozen_at = time.monotonic()
            act.tell(f"the database is away for {act.size['away_s']} s")
            while time.monotonic() < frozen_at + act.size["away_s"]:
                asked_at = time.monotonic()
                ready = httpx.get(f"{site.address}/ready", timeout=60).status_code
                took_s = time.monotonic() - asked_at
                live = httpx.get(f"{site.address}/live", timeout=60).status_code
                outcome.expect(ready == 503, f"/ready answered {ready}")
                outcome.expect(took_s <= NOT_READY_WITHIN_S * act.patience, f"/ready took {took_s:.1f} s")
                outcome.expect(live == 200, f"/live answered {live}")
        back_at = time.monotonic()
        while httpx.get(f"{site.address}/ready", timeout=60).status_code != 200:
            if time.monotonic() - back_at > RECOVERED_WITHIN_S * act.patience:
                outcome.broken.append(f"/ready did not answer 200 within {RECOVERED_WITHIN_S} s")
                break
            time.sleep(0.05)
        before = done(api, path)
        while before < len(names) and done(api, path) == before:
            if time.monotonic() - back_at > RECOVERED_WITHIN_S * act.patience:
                outcome.broken.append(f"the batch did not go on within {RECOVERED_WITHIN_S} s")
                break
            time.sleep(0.05)
        outcome.notes.append(f"recovered in {time.monotonic() - back_at:.1f} s")
        outcome.add(count(site, api, path, succeed=names))
    return outcome


SCENARIO = Scenario(
    "R10",
    "the database is unreachable",
    play,
    full={"items": 1_000, "away_s": 60},
    short={"items": 60, "away_s": 2},
)
