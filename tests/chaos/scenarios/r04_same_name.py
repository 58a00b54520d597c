"""R4: a worker that is killed comes back with the same host name and process id, as containers do."""

from __future__ import annotations

import shutil
import subprocess

from tests.chaos.counting import clips, count, post_zip, wait_until_done
from tests.chaos.scenario import Act, NotRun, Outcome, Scenario

ALONE = ("unshare", "--user", "--map-root-user", "--pid", "--fork", "--kill-child", "--uts", "--mount-proc")


def play(act: Act) -> Outcome:
    if shutil.which("unshare") is None or subprocess.run([*ALONE, "true"], capture_output=True, check=False).returncode:
        raise NotRun("this machine allows no process namespaces")
    site, outcome = act.site, Outcome(trials=act.size["trials"])
    site.end_workers()
    names = clips(act.size["items"])
    worker = site.start_worker(before=ALONE)
    with site.client() as api:
        worker.wait_until_it_says("worker ready")
        path = post_zip(api, names)
        for nth in range(1, act.size["trials"] + 1):
            wait_until_done(api, path, nth * len(names) // (act.size["trials"] + 1))
            worker.kill()
            act.tell(f"restart {nth} of {act.size['trials']}")
            worker = site.start_worker(before=ALONE)
        outcome.add(count(site, api, path, succeed=names))
    seen = site.fetch("SELECT DISTINCT host, pid FROM worker WHERE pid = 1")
    outcome.expect(len(seen) == 1, f"the workers were not of one name: {seen}")
    site.end_workers()
    return outcome


SCENARIO = Scenario(
    "R4",
    "a restarted worker with the same host name and pid",
    play,
    full={"items": 400, "trials": 10},
    short={"items": 24, "trials": 1},
)
