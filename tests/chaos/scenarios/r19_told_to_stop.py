"""R19: a worker is told to stop while its items take long: it ends in time, and gives them back unspent."""

from __future__ import annotations

import signal
import subprocess
import time

from tests.chaos.counting import clip, clips, count, post_zip
from tests.chaos.marks import marked, slow
from tests.chaos.scenario import Act, Outcome, Scenario

GRACE_S = 10
"""What `docker stop` gives."""


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    for nth in range(1, act.size["trials"] + 1):
        act.tell(f"trial {nth} of {act.size['trials']}")
        [worker] = site.ready(1, watched=True)
        names = {
            **clips(6),
            **{
                f"slow-{number}.wav": marked(clip(), slow(600), number=act.random.getrandbits(31))
                for number in range(2)
            },
        }
        with site.client() as api:
            path = post_zip(api, names)
            while not site.fetch("SELECT FROM job WHERE kind = 'classify_shard' AND state = 'running'"):
                time.sleep(0.02)
            time.sleep(act.random.uniform(0.2, 1.5))
            worker.send(signal.SIGTERM)
            told_at = time.monotonic()
            try:
                status = worker.process.wait(GRACE_S * act.patience)
                outcome.expect(status == 0, f"the worker ended with status {status}")
            except subprocess.TimeoutExpired:
                outcome.broken.append(f"the worker lives {GRACE_S} s after it was told to stop")
            outcome.notes[:] = [f"ended {time.monotonic() - told_at:.1f} s after SIGTERM"]
            rows = site.fetch("SELECT state, attempt FROM job WHERE kind = 'classify_shard' AND finished_at IS NULL")
            outcome.expect(
                bool(rows) and all((row["state"], row["attempt"]) == ("queued", 0) for row in rows),
                f"unfinished work was left as {rows}",
            )
            site.ready(1)  # to which the marks say nothing
            outcome.add(count(site, api, path, succeed=names))
        outcome.trials += 1
    return outcome


SCENARIO = Scenario("R19", "SIGTERM with long items running", play, full={"trials": 10}, short={"trials": 1})
