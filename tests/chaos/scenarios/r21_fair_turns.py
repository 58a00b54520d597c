"""R21: a client's small batch does not wait for another client's large one."""

from __future__ import annotations

import statistics
import time

from tests.chaos.counting import clips, done, post_zip
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.inputs import distinct_clips
from tests.ledger import watch

SMALL = 10
SLOWER = 2.0
TURNS = 80
"""Items of the large batch that may be done while the small one waits and runs: what was begun, its turns, the lag."""


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    site.ready(1)
    seconds = act.size["tenths_s"] / 10
    small = distinct_clips(SMALL, seconds)
    with site.client() as one, site.client() as other:
        _time(other, small)  # everything is warm
        alone_s = statistics.median(_time(other, small) for _ in range(act.size["trials"]))
        large = {**distinct_clips(act.size["items"], seconds)} if act.size["is_timed"] else clips(act.size["items"])
        path = post_zip(one, large)
        while done(one, path) == 0:
            time.sleep(0.02)
        took_s = []
        for nth in range(1, act.size["trials"] + 1):
            before = done(one, path)
            took_s.append(_time(other, small))
            between = done(one, path) - before
            act.tell(f"trial {nth}: {took_s[-1]:.2f} s against {alone_s:.2f} s alone, {between} of the large batch")
            outcome.expect(between <= TURNS, f"{between} items of the large batch came before {SMALL} of the small one")
        state = one.get(path).json()["state"]
        outcome.expect(state == "running", f"the large batch was {state} before the small ones were measured")
        one.post(f"{path}/cancel")
        watch(one, path)
    factor = statistics.median(took_s) / alone_s
    outcome.notes.append(f"alone {alone_s:.2f} s, beside a large batch {factor:.2f} times that")
    outcome.expect(factor <= SLOWER or not act.size["is_timed"], f"the small batch took {factor:.2f} times its time")
    outcome.trials = act.size["trials"]
    return outcome


def _time(api: object, files: dict[str, bytes]) -> float:
    began = time.monotonic()
    watch(api, post_zip(api, files))  # type: ignore[arg-type]
    return time.monotonic() - began


SCENARIO = Scenario(
    "R21",
    "10 items beside another client's 10,000",
    play,
    full={"items": 10_000, "trials": 7, "tenths_s": 10, "is_timed": 1},
    short={"items": 400, "trials": 1, "tenths_s": 5, "is_timed": 0},
)
