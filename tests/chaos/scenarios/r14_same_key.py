"""R14: one Idempotency-Key on fifty requests at once makes one batch; every client gets it."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor

import httpx

from tests.chaos.counting import clip, count
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario

TRIES_MAX = 200


def play(act: Act) -> Outcome:
    outcome = Outcome()
    act.site.ready(1)
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        content = marked(clip(), PLAIN, number=act.random.getrandbits(31))
        with act.site.client() as api, ThreadPoolExecutor(act.size["at_once"]) as clients:
            tries = [clients.submit(_post, api, f"r14-{nth}", content) for _ in range(act.size["at_once"])]
            found = [tried.result() for tried in tries]
            places = {place for place, _ in found}
            outcome.expect(len(places) == 1, f"the clients were sent to {len(places)} places")
            outcome.expect(sum(not again for _, again in found) <= 1, "more than one answer is said to be the first")
            made = act.site.fetch("SELECT id FROM batch WHERE client_id = $1", api.headers["client-id"])
            outcome.doubled += max(0, len(made) - 1)
            outcome.lost += int(not made)
            path = places.pop()
            outcome.add(count(act.site, api, path.removeprefix("/api/v1"), succeed=["a.wav"]))
        outcome.trials += 1
    return outcome


def _post(api: httpx.Client, key: str, content: bytes) -> tuple[str, bool]:
    """Where the batch is, and whether the answer is a repeated one; a request still running is waited for."""
    for _ in range(TRIES_MAX):
        answer = api.post(
            "/classifier/predict-batch", files=[("files", ("a.wav", content))], headers={"idempotency-key": key}
        )
        if answer.status_code == httpx.codes.ACCEPTED:
            return answer.headers["location"], answer.headers.get("idempotency-replayed") == "true"
        assert answer.status_code == httpx.codes.CONFLICT, answer.text
        time.sleep(int(answer.headers["retry-after"]))
    raise AssertionError("the first request never ended")


SCENARIO = Scenario(
    "R14",
    "the same Idempotency-Key 50 times at once",
    play,
    full={"trials": 20, "at_once": 50},
    short={"trials": 1, "at_once": 10},
)
