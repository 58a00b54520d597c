"""R8: connections are ended in mid-transaction; none that is left, or comes after, is poisoned."""

from __future__ import annotations

import asyncio
import threading
import time
from collections import Counter

import httpx

from groovemark.db.session import connect
from tests.chaos.counting import clips, count, post_zip
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.ledger import FINAL

ALLOWED = {200, 202, 404, 503}
REQUESTS_AFTER = 200
TERMINATE = """
    SELECT pg_terminate_backend(pid) FROM (
        SELECT pid FROM pg_stat_activity
        WHERE datname = current_database() AND pid <> pg_backend_pid() AND xact_start IS NOT NULL
          AND backend_type = 'client backend'
        ORDER BY random() LIMIT 1
    ) AS victim
"""


def play(act: Act) -> Outcome:
    outcome = Outcome()
    workers = act.site.ready(2)
    ended = threading.Event()
    told: Counter[int] = Counter()
    with act.site.client() as api:
        asking = threading.Thread(target=_ask, args=(act, ended, told), daemon=True)
        asking.start()
        asyncio.run(_terminate(act, api, outcome))
        ended.set()
        asking.join()
        faults = {status: times for status, times in told.items() if status not in ALLOWED}
        outcome.expect(not faults, f"the API answered {faults}")
        for _ in range(REQUESTS_AFTER):
            status = api.get("/classifier/batches").status_code
            outcome.expect(status == httpx.codes.OK, f"a request after the storm was answered {status}")
    outcome.expect(all(worker.is_alive for worker in workers), "a worker ended")
    return outcome


async def _terminate(act: Act, api: httpx.Client, outcome: Outcome) -> None:
    """End connections until there were enough, under batches that follow each other."""
    names = clips(act.size["items"])
    connection = await connect(act.site.uri)
    path = await asyncio.to_thread(_post, api, names)
    next_look = 0.0
    while outcome.trials < act.size["terminations"]:
        if await connection.fetchval(TERMINATE):
            outcome.trials += 1
            if outcome.trials % 50 == 0:
                act.tell(f"termination {outcome.trials} of {act.size['terminations']}")
        await asyncio.sleep(act.random.uniform(0, 0.05))
        if time.monotonic() > next_look:
            next_look = time.monotonic() + 1
            answer = await asyncio.to_thread(api.get, path)
            if answer.status_code == httpx.codes.OK and answer.json()["state"] in FINAL:
                outcome.add(await asyncio.to_thread(count, act.site, api, path, succeed=names))
                path = await asyncio.to_thread(_post, api, names)
    await connection.close()
    outcome.add(await asyncio.to_thread(count, act.site, api, path, succeed=names))


def _post(api: httpx.Client, names: dict[str, bytes]) -> str:
    """Until it is accepted: the API may say that the database went away."""
    while True:
        try:
            return post_zip(api, names)
        except AssertionError as error:
            if not str(error).startswith("503"):
                raise
            time.sleep(0.1)


def _ask(act: Act, ended: threading.Event, told: Counter[int]) -> None:
    """Requests go on meanwhile: they too are ended in mid-transaction."""
    with act.site.client() as api:
        while not ended.is_set():
            told[api.get("/classifier/batches").status_code] += 1
            told[api.get("/genre/list").status_code] += 1


SCENARIO = Scenario(
    "R8",
    "pg_terminate_backend in mid-transaction",
    play,
    full={"items": 400, "terminations": 500},
    short={"items": 40, "terminations": 10},
)
