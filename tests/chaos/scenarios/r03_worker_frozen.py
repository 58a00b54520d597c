"""R3: a worker stands still past its lease while another does its work; what it then wants to write is refused."""

from __future__ import annotations

import signal
import time

from tests.chaos.counting import clip, count, post_zip, wait_until_begun
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import Running

REFUSED = "the lease was lost, nothing was written"
ITEM_TENTHS_S = 5
REFUSED_WITHIN_S = 15


def play(act: Act) -> Outcome:
    outcome = Outcome(trials=act.size["trials"])
    first, second = act.site.ready(2, watched=True)
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        names = {f"{number}.wav": marked(clip(), slow(ITEM_TENTHS_S), number=number) for number in range(2)}
        told_before = first.log.read_text().count(REFUSED)
        with act.site.client() as api:
            with second.frozen():
                path = post_zip(api, names)
                wait_until_begun(act.site)
                time.sleep(act.random.uniform(0, ITEM_TENTHS_S / 10))
                with first.frozen():
                    second.send(signal.SIGCONT)
                    outcome.add(count(act.site, api, path, succeed=names))
            outcome.expect(_refuses(first, told_before), f"trial {nth}: no stale write was refused")
            outcome.add(count(act.site, api, path, succeed=names))
        first, second = second, first
    return outcome


def _refuses(worker: Running, told_before: int) -> bool:
    """Whether the worker soon says so once more."""
    deadline = time.monotonic() + REFUSED_WITHIN_S
    while time.monotonic() < deadline:
        if worker.log.read_text().count(REFUSED) > told_before:
            return True
        time.sleep(0.05)
    return False


SCENARIO = Scenario(
    "R3", "a worker stopped past its lease, then continued", play, full={"trials": 20}, short={"trials": 1}
)
