"""R25: clocks of workers are minutes wrong: no lease is lost or kept for that."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.counting import clips, count, post_zip
from tests.chaos.scenario import Act, NotRun, Outcome, Scenario

LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")


def play(act: Act) -> Outcome:
    library = next((str(path) for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])), None)
    if library is None:
        raise NotRun("libfaketime is not installed (Debian: apt-get install libfaketime)")
    site, outcome = act.site, Outcome(trials=1)
    site.end_workers()
    workers = [
        site.start_worker(LD_PRELOAD=library, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
        for offset in ("-5m", "+5m")[: act.size["workers"]]
    ]
    for worker in workers:
        worker.wait_until_it_says("worker ready")
    names = clips(act.size["items"])
    with site.client() as api:
        path = post_zip(api, names)
        outcome.add(count(site, api, path, succeed=names))
        spent = site.fetch(
            "SELECT attempt, count(*) FROM job WHERE attempt <> 1 AND client_id = $1 GROUP BY 1",
            api.headers["client-id"],
        )
    outcome.expect(not spent, f"jobs were begun more than once: {spent}")
    site.end_workers()
    return outcome


SCENARIO = Scenario(
    "R25",
    "a worker's clock five minutes off",
    play,
    full={"workers": 2, "items": 1_000},
    short={"workers": 1, "items": 24},
)
