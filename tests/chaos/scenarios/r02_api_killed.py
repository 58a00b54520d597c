"""R2: the API is killed while clients upload; what it has accepted is there, what it has not leaves nothing behind."""

from __future__ import annotations

import os
import subprocess
import threading
import time
from random import Random

import httpx

from tests.chaos.counting import accepted, clip, count
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import GROOVEMARK, REPOSITORY, Site
from tests.inputs import audio_file
from tests.posting import post_audio

CLIENTS = 3
LONG_AGO_S = 3 * 24 * 3600


class _Uploader(threading.Thread):
    """A client that posts batch after batch, and remembers which were accepted."""

    def __init__(self, site: Site, random: Random, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.api = site.client()
        self.accepted: list[tuple[str, list[str]]] = []
        self.unanswered = 0
        self.refused: list[str] = []
        self._random, self._over = random, over

    def run(self) -> None:
        long = audio_file(duration_s=4)
        while not self._over.is_set():
            files = {
                f"{number}.wav": marked(content, PLAIN, number=self._random.getrandbits(31))
                for number, content in enumerate((long, clip(), clip()))
            }
            try:
                answer = post_audio(self.api, files)
            except httpx.TransportError:
                self.unanswered += 1
                time.sleep(0.05)
                continue
            if answer.status_code != httpx.codes.ACCEPTED:
                self.refused.append(f"{answer.status_code} {answer.text[:200]}")
            else:
                self.accepted.append((accepted(answer), list(files)))
            time.sleep(self._random.uniform(0, 0.2))


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome(trials=act.size["kills"])
    site.ready(1)
    over = threading.Event()
    uploaders = [_Uploader(site, Random(act.random.random()), over) for _ in range(CLIENTS)]
    for uploader in uploaders:
        uploader.start()
    for nth in range(1, act.size["kills"] + 1):
        time.sleep(act.random.uniform(0.1, 1.5))
        act.tell(f"kill {nth} of {act.size['kills']}")
        site.start_api()
    over.set()
    for uploader in uploaders:
        uploader.join()
        outcome.expect(not uploader.refused, f"uploads were refused: {uploader.refused[:3]}")
        for path, names in uploader.accepted:
            outcome.add(count(site, uploader.api, path, succeed=names))
    _expect_no_orphans(site, outcome)
    outcome.notes.append(
        f"{sum(len(uploader.accepted) for uploader in uploaders)} batches accepted, "
        f"{sum(uploader.unanswered for uploader in uploaders)} requests unanswered"
    )
    return outcome


def _expect_no_orphans(site: Site, outcome: Outcome) -> None:
    """A sweep takes only what is old, so everything is made to look old."""
    long_ago = time.time() - LONG_AGO_S
    files = [path for path in site.storage.rglob("*") if path.is_file()]
    for path in files:
        os.utime(path, (long_ago, long_ago))
    swept = subprocess.run(
        [*GROOVEMARK, "db", "upkeep"],
        cwd=REPOSITORY,
        env={**os.environ, **site.environment},
        capture_output=True,
        text=True,
        check=False,
    )
    outcome.expect(swept.returncode == 0, f"the sweep failed: {swept.stderr[-300:]}")
    known = {row["sha256"] for row in site.fetch("SELECT sha256 FROM upload")}
    known |= {row["sha256"] for row in site.fetch("SELECT sha256 FROM result_file WHERE sha256 IS NOT NULL")}
    kept = {path.name for path in (site.storage / "objects").rglob("*") if path.is_file()}
    orphans = kept - known
    outcome.expect(not orphans, f"{len(orphans)} files of no upload were left by the sweep")
    outcome.lost += len(known - kept)
    half = [path for path in (site.storage / "incoming").iterdir() if path.is_file()]
    outcome.expect(not half, f"{len(half)} half-received files were left by the sweep")
    outcome.notes.append(f"{len(files)} files before the sweep, {len(kept)} after")


SCENARIO = Scenario("R2", "kill -9 the API during uploads", play, full={"kills": 50}, short={"kills": 1})
