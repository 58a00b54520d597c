"""R2: the API is killed while clients upload; what it has accepted is there, what it has not leaves nothing behind.

It counts only if uploads were really cut: begun before a kill, and without an answer after it.
"""

from __future__ import annotations

import os
import subprocess
import threading
import time
from collections.abc import Iterator
from random import Random

import httpx

from tests.chaos.counting import accepted, clip, count
from tests.chaos.marks import PLAIN, marked
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import GROOVEMARK, REPOSITORY, Site
from tests.inputs import audio_file
from tests.posting import Files, post_audio

CLIENTS = 3
LONG_AGO_S = 3 * 24 * 3600
PIECES = 16
FURTHER_KILLS_MAX = 10
"""Where none of those asked for met an upload."""


class _Uploader(threading.Thread):
    """A client that posts batch after batch, and remembers which were accepted."""

    def __init__(self, site: Site, random: Random, over: threading.Event) -> None:
        super().__init__(daemon=True)
        self.api = site.client()
        self.accepted: list[tuple[str, list[str]]] = []
        self.unanswered: list[tuple[float, float]] = []
        self.is_sending = False
        self.refused: list[str] = []
        self._random, self._over = random, over

    def run(self) -> None:
        long = audio_file(duration_s=4)
        while not self._over.is_set():
            files = {
                f"{number}.wav": marked(content, PLAIN, number=self._random.getrandbits(31))
                for number, content in enumerate((long, clip(), clip()))
            }
            began = time.monotonic()
            try:
                answer = self._post(files)
            except httpx.ConnectError:
                time.sleep(0.05)  # nobody listens
                continue
            except httpx.TransportError:
                self.unanswered.append((began, time.monotonic()))
                continue
            if answer.status_code != httpx.codes.ACCEPTED:
                self.refused.append(f"{answer.status_code} {answer.text[:200]}")
            else:
                self.accepted.append((accepted(answer), list(files)))
            time.sleep(self._random.uniform(0, 0.2))

    def _post(self, files: Files) -> httpx.Response:
        """At once, or as over a slow line: a kill meets every part of an upload."""
        pause_s = self._random.choice((0, self._random.uniform(0.1, 1) / PIECES))
        if not pause_s:
            return post_audio(self.api, files)
        parts = [("files", (name, content)) for name, content in files.items()]
        whole = self.api.build_request("POST", "/classifier/predict-batch", files=parts)
        body = whole.read()
        headers = {"content-type": whole.headers["content-type"], "content-length": str(len(body))}
        self.is_sending = True
        try:
            return self.api.post("/classifier/predict-batch", content=_dripping(body, pause_s=pause_s), headers=headers)
        finally:
            self.is_sending = False

    def cut(self, killed_at: float) -> int:
        """How many of its uploads a kill left without an answer."""
        return sum(began < killed_at < ended for began, ended in self.unanswered)


def _dripping(body: bytes, *, pause_s: float) -> Iterator[bytes]:
    step = -(-len(body) // PIECES)
    for start in range(0, len(body), step):
        yield body[start : start + step]
        time.sleep(pause_s)


def play(act: Act) -> Outcome:
    site, outcome = act.site, Outcome()
    site.ready(1)
    over = threading.Event()
    uploaders = [_Uploader(site, Random(act.random.random()), over) for _ in range(CLIENTS)]
    for uploader in uploaders:
        uploader.start()
    cut, kills = 0, act.size["kills"]
    while outcome.trials < kills or (not cut and outcome.trials < kills + FURTHER_KILLS_MAX):
        time.sleep(act.random.uniform(0.1, 1.5))
        _wait_for_upload(uploaders)
        time.sleep(act.random.uniform(0, 0.2))
        outcome.trials += 1
        act.tell(f"kill {outcome.trials} of {kills}")
        killed_at = time.monotonic()
        site.start_api()
        cut += sum(uploader.cut(killed_at) for uploader in uploaders)
    over.set()
    for uploader in uploaders:
        uploader.join()
        outcome.expect(not uploader.refused, f"uploads were refused: {uploader.refused[:3]}")
        for path, names in uploader.accepted:
            outcome.add(count(site, uploader.api, path, succeed=names))
    outcome.expect(cut > 0, "no kill met an upload")
    _expect_no_orphans(site, outcome)
    outcome.notes.append(
        f"{sum(len(uploader.accepted) for uploader in uploaders)} batches accepted, "
        f"{cut} uploads cut by kills, {sum(len(uploader.unanswered) for uploader in uploaders)} unanswered"
    )
    return outcome


def _wait_for_upload(uploaders: list[_Uploader]) -> None:
    deadline = time.monotonic() + 60
    while not any(uploader.is_sending for uploader in uploaders):
        assert time.monotonic() < deadline, "nobody uploads any more"
        time.sleep(0.001)


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
