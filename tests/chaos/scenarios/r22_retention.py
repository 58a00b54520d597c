"""R22: batches go after their time while clients read them: never a 500, and 404 or 410 afterwards."""

from __future__ import annotations

import os
import subprocess
import threading
from collections import Counter

import httpx

from tests.chaos.counting import clips, count, post_zip, promises
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import GROOVEMARK, REPOSITORY, Site

VIEWS = ("", "/items", "/errors", "/results", "/results.csv", "/results.parquet")
READERS = 4
GONE = {404, 410}
ALLOWED = {200, 409, 503, *GONE}
"""409 and 503: a Parquet file is being written, or was given up."""
KEPT_DAYS = "0.00001"


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    site.ready(1)
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        names = clips(act.size["items"])
        with site.client(timeout_s=60) as api:
            paths = [post_zip(api, names) for _ in range(2)]
            for path in paths:
                outcome.add(count(site, api, path, succeed=names))
            told: Counter[int] = Counter()
            over = threading.Event()
            readers = [
                threading.Thread(target=_read, args=(api, paths, over, told), daemon=True) for _ in range(READERS)
            ]
            for reader in readers:
                reader.start()
            _upkeep(site, outcome)
            over.set()
            for reader in readers:
                reader.join()
            wrong = {status: times for status, times in told.items() if status not in ALLOWED}
            outcome.expect(not wrong, f"readers were answered {wrong}")
            outcome.expect(told[200] > 0, "nobody read before the batches went")
            for path in paths:
                for view in VIEWS:
                    status = api.get(path + view).status_code
                    outcome.expect(status in GONE, f"{view or 'the batch'} is answered {status} after its time")
            outcome.add(promises(site, api))
        outcome.trials += 1
    return outcome


def _read(api: httpx.Client, paths: list[str], over: threading.Event, told: Counter[int]) -> None:
    while not over.is_set():
        for path in paths:
            for view in VIEWS:
                try:
                    told[api.get(path + view).status_code] += 1
                except httpx.RemoteProtocolError:
                    told[200] += 1  # a download that was broken off, and says so


def _upkeep(site: Site, outcome: Outcome) -> None:
    """Twice, since a batch that ended a moment ago is not old enough yet."""
    for _ in range(2):
        done = subprocess.run(
            [*GROOVEMARK, "db", "upkeep"],
            cwd=REPOSITORY,
            env={**os.environ, **site.environment, "BATCHES_KEPT_DAYS": KEPT_DAYS, "UPLOADS_KEPT_DAYS": KEPT_DAYS},
            capture_output=True,
            text=True,
            check=False,
        )
        outcome.expect(done.returncode == 0, f"upkeep failed: {done.stderr[-300:]}")


SCENARIO = Scenario(
    "R22", "retention while clients read", play, full={"trials": 10, "items": 100}, short={"trials": 1, "items": 8}
)
