"""R25: clocks of workers are minutes wrong: no lease is lost or kept for that."""

from __future__ import annotations

from pathlib import Path

from tests.chaos.counting import clip, clips, count, post_zip, wait_until_begun
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, NotRun, Outcome, Scenario
from tests.chaos.site import Running, Site

LIBRARIES = ("/usr/lib/*/faketime/libfaketime.so.1", "/usr/lib/faketime/libfaketime.so.1")
AHEAD, BEHIND = "+5m", "-5m"
TAKEN_OVER_WITHIN_S = 120
"""Less than the clocks are wrong."""


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    library = _library()
    site.end_workers()
    workers = [_start(site, library, offset) for offset in (AHEAD, BEHIND)[: act.size["workers"]]]
    outcome.add(_work(act))
    for worker in workers[1:]:
        worker.kill()
    outcome.add(_take_over(act, workers[0], library))
    site.end_workers()
    return outcome


def _library() -> str:
    found = next((str(path) for pattern in LIBRARIES for path in Path("/").glob(pattern[1:])), None)
    if found is None:
        raise NotRun("libfaketime is not installed (Debian: apt-get install libfaketime)")
    return found


def _start(site: Site, library: str, offset: str) -> Running:
    worker = site.start_worker(watched=True, LD_PRELOAD=library, FAKETIME=offset, FAKETIME_DONT_FAKE_MONOTONIC="1")
    worker.wait_until_it_says("worker ready")
    return worker


def _work(act: Act) -> Outcome:
    """All workers share a batch, and none takes another's work."""
    site, outcome, names = act.site, Outcome(trials=1), clips(act.size["items"])
    with site.client() as api:
        outcome.add(count(site, api, post_zip(api, names), succeed=names))
        spent = site.fetch(
            "SELECT attempt, count(*) FROM job WHERE attempt <> 1 AND client_id = $1 GROUP BY 1",
            api.headers["client-id"],
        )
    outcome.expect(not spent, f"jobs were begun more than once: {spent}")
    return outcome


def _take_over(act: Act, worker: Running, library: str) -> Outcome:
    """A worker whose clock is ahead dies; another, whose clock is behind, need not wait for that time."""
    site, outcome = act.site, Outcome(trials=1)
    names = {"long.wav": marked(clip(), slow(20), number=act.random.getrandbits(31))}
    with site.client() as api:
        path = post_zip(api, names)
        wait_until_begun(site)
        worker.kill()
        _start(site, library, BEHIND)
        outcome.add(count(site, api, path, succeed=names, within_s=TAKEN_OVER_WITHIN_S))
    return outcome


SCENARIO = Scenario(
    "R25",
    "a worker's clock five minutes off",
    play,
    full={"workers": 2, "items": 1_000},
    short={"workers": 1, "items": 24},
)
