"""R13: the disk of the uploads is full: 507 or 503 as problem+json, never 400, and no partial file stays."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import httpx

from tests.chaos.counting import clips
from tests.chaos.scenario import Act, NotRun, Outcome, Scenario
from tests.chaos.site import GROOVEMARK
from tests.conftest import wait_until_ready
from tests.posting import post_audio

APART = ("unshare", "--user", "--map-root-user", "--mount")
ROOM_KB = 2_048
TOO_LARGE = 3_000_000


def play(act: Act) -> Outcome:
    probe = [*APART, "sh", "-c", "mount -t tmpfs -o size=64k none /mnt"]
    if shutil.which("unshare") is None or subprocess.run(probe, capture_output=True, check=False).returncode:
        raise NotRun("this machine allows no mounts in user namespaces")
    site, outcome = act.site, Outcome()
    site.know_models()
    site.end_api()
    store = site.home / "small"
    store.mkdir(exist_ok=True)
    script = f'mount -t tmpfs -o size={ROOM_KB}k none "$STORAGE_PATH" && exec "$@"'
    site.api = site.start([*APART, "sh", "-c", script, "sh", *GROOVEMARK, "serve"], "api", STORAGE_PATH=str(store))
    wait_until_ready(site.address, site.api.log, (site.api.process,))
    inside = Path(f"/proc/{site.api.process.pid}/root{store}")
    with site.client() as api:
        for nth in range(1, act.size["trials"] + 1):
            _overfill(api, act, outcome, inside)
            act.tell(f"trial {nth} of {act.size['trials']}")
            outcome.trials += 1
        small = api.post("/classifier/predict-batch", files=[("files", ("a.wav", next(iter(clips(1).values()))))])
        outcome.expect(small.status_code == 202, f"after the refusals there is no room: {small.status_code}")
    return outcome


def _overfill(api: httpx.Client, act: Act, outcome: Outcome, inside: Path) -> None:
    before = _files(inside)
    try:
        answer = post_audio(api, {"a.wav": act.random.randbytes(1_000), "large.wav": act.random.randbytes(TOO_LARGE)})
    except httpx.TransportError as error:
        outcome.broken.append(f"no answer: {error}")
        return
    kind = answer.headers.get("content-type", "")
    outcome.expect(answer.status_code in (503, 507), f"the answer is {answer.status_code}: {answer.text[:200]}")
    outcome.expect(kind.startswith("application/problem+json"), f"the answer is of type {kind}")
    left = _files(inside) - before
    outcome.expect(not left, f"files were left: {left}")


def _files(folder: Path) -> set[str]:
    return {str(path) for path in folder.rglob("*") if path.is_file()}


SCENARIO = Scenario("R13", "the disk of the uploads is full", play, full={"trials": 50}, short={"trials": 2})
