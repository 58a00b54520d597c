"""R19: a worker is told to stop while its items take long: it ends in time, and gives them back unspent."""

from __future__ import annotations

import signal
import subprocess
import time
from collections.abc import Collection

import httpx

from tests.chaos.counting import accepted, clip, clips, count, post_zip, wait_until_begun
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Running
from tests.posting import post_audio
from tests.stranger import stranger

GRACE_S = 10
"""What `docker stop` gives."""
ADDRESS = "127.0.0.3"
LEFT = "SELECT state, attempt FROM job WHERE kind = 'classify_shard' AND finished_at IS NULL"


def play(act: Act) -> Outcome:
    outcome = Outcome()
    with act.site.client() as api, stranger(ADDRESS) as outside:
        for nth in range(1, act.size["trials"] + 1):
            act.tell(f"trial {nth} of {act.size['trials']}")
            [worker] = act.site.ready(1, watched=True)
            path, names = _slow_files(act, api) if nth % 2 else _dripping_urls(api, outside, nth)
            outcome.add(_stop(worker, act, api, path, names))
    outcome.notes[:] = outcome.notes[-2:]
    return outcome


def _slow_files(act: Act, api: httpx.Client) -> tuple[str, Collection[str]]:
    """A batch's path, and what it is made of."""
    names = {
        **clips(6),
        **{f"slow-{number}.wav": marked(clip(), slow(600), number=act.random.getrandbits(31)) for number in range(2)},
    }
    return post_zip(api, names), names


def _dripping_urls(api: httpx.Client, outside: str, nth: int) -> tuple[str, Collection[str]]:
    names = [f"{nth}-{number}" for number in range(6)]
    ways = ("sound", "dripfirst", "sound", "sound", "dripfirst", "sound")
    lines = [f"{outside}/{way}/{nth}/{name}.wav,{name}" for way, name in zip(ways, names, strict=True)]
    manifest = "\n".join(("file,external_id", *lines)).encode()
    return accepted(post_audio(api, {}, manifest=manifest)), names


def _stop(worker: Running, act: Act, api: httpx.Client, path: str, names: Collection[str]) -> Outcome:
    """Tell the only worker to stop while it is at a shard; another one does what is left."""
    site, outcome = act.site, Outcome(trials=1)
    wait_until_begun(site)
    time.sleep(act.random.uniform(0.2, 1.5))
    worker.send(signal.SIGTERM)
    told_at = time.monotonic()
    try:
        status = worker.process.wait(GRACE_S * act.patience)
        outcome.expect(status == 0, f"the worker ended with status {status}")
    except subprocess.TimeoutExpired:
        outcome.broken.append(f"the worker lives {GRACE_S} s after it was told to stop")
    outcome.notes.append(f"ended {time.monotonic() - told_at:.1f} s after SIGTERM")
    rows = site.fetch(LEFT)
    outcome.expect(
        bool(rows) and all((row["state"], row["attempt"]) == ("queued", 0) for row in rows),
        f"unfinished work was left as {rows}",
    )
    site.ready(1)  # to which the marks say nothing
    outcome.add(count(site, api, path, succeed=names))
    return outcome


SCENARIO = Scenario(
    "R19",
    "SIGTERM with long items running",
    play,
    full={"trials": 10},
    short={"trials": 2},
    settings={"FETCH_ALLOWED_NETWORKS": f"{ADDRESS}/32"},
)
