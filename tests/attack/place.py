"""Where attacks happen: one API and one worker with small limits, and what they cost them."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator, Mapping
from pathlib import Path

import httpx
import psutil

from tests.attack.target import Target
from tests.chaos.scenario import Outcome
from tests.chaos.site import Running, Site
from tests.inputs import audio_file
from tests.ledger import watch
from tests.posting import post_audio

MIB = 1024 * 1024
AUDIO_FILE_BYTES_MAX = 16 * MIB
REQUEST_BYTES_MAX = 64 * MIB
SETTINGS = {
    "CSV_BYTES_MAX": str(AUDIO_FILE_BYTES_MAX),
    "AUDIO_FILE_BYTES_MAX": str(AUDIO_FILE_BYTES_MAX),
    "AUDIO_REQUEST_BYTES_MAX": str(REQUEST_BYTES_MAX),
    "AUDIO_FILES_MAX": "1000",
    "ARCHIVE_FILES_MAX": "1000",
    "LEASE_S": "10",
    "FETCH_ALLOWED_NETWORKS": "127.0.0.2/32",
}
POLL_S = 0.01
_warm: set[int] = set()


def target_of(site: Site) -> Target:
    """The API as something to send raw bytes to, with a client of its own."""
    assert site.api is not None
    with site.client() as api:
        client_id, secret = api.headers["client-id"], api.headers["client-secret"]
    return Target(int(site.environment["PORT"]), site.api.process.pid, site.home, site.uri, client_id, secret)


def ready_worker(site: Site) -> Running:
    """A worker whose decoder has read files before, so that what it takes from now on is the attack's doing."""
    temporary = site.home / "tmp"
    temporary.mkdir(exist_ok=True)
    [worker] = site.ready(1, TMPDIR=str(temporary))
    if worker.process.pid in _warm:
        return worker
    _warm.add(worker.process.pid)
    with site.client() as api:
        answer = post_audio(api, {"warm.mp3": audio_file("mp3", 60), "warm.flac": audio_file("flac", 60, channels=2)})
        watch(api, answer.json()["id"])
    return worker


class Peak:
    """Resident memory of a process and its children, at its highest since `began`, in bytes."""

    def __init__(self, pid: int) -> None:
        self._process = psutil.Process(pid)
        self.began = self._sum()
        self.highest = self.began
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Peak:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._ended.set()
        self._thread.join()

    @property
    def grown_mib(self) -> float:
        return (self.highest - self.began) / MIB

    def _look(self) -> None:
        while not self._ended.wait(POLL_S):
            self.highest = max(self.highest, self._sum())

    def _sum(self) -> int:
        found = 0
        with contextlib.suppress(psutil.NoSuchProcess):
            for process in (self._process, *self._process.children(recursive=True)):
                with contextlib.suppress(psutil.NoSuchProcess):
                    found += process.memory_info().rss
        return found


def codes(api: httpx.Client, files: Mapping[str, bytes], *, within_s: float = 300) -> dict[str, str]:
    """What became of each of the files when posted as one batch: 'succeeded' or the code of its error.

    Items that no answer tells of are missing.
    """
    answer = post_audio(api, files)
    if answer.status_code != httpx.codes.ACCEPTED:
        return dict.fromkeys(files, f"HTTP {answer.status_code}")
    return outcomes(api, answer.json()["id"], within_s=within_s)


def outcomes(api: httpx.Client, batch_id: str, *, within_s: float = 300) -> dict[str, str]:
    """By item; that of the batch by '' where it failed as a whole."""
    path = f"/classifier/batches/{batch_id}"
    ended = watch(api, batch_id, within_s=within_s)
    found = {"": ended["error"]["code"] if ended["error"] else ""} if ended["state"] == "failed" else {}
    url: str | None = f"{path}/items?limit=1000"
    while url is not None:
        page = api.get(url)
        assert page.status_code == httpx.codes.OK, page.text
        for item in page.json()["items"]:
            found[item["external_id"]] = item["error"]["code"] if item.get("error") else item["state"]
        link = page.links.get("next", {}).get("url")
        url = link.removeprefix("/api/v1") if link else None
    return found


@contextlib.contextmanager
def unharmed(site: Site, outcome: Outcome, worker: Running, *, grown_mib_max: float) -> Iterator[None]:
    """The worker lives on, takes no more memory than it may, and does its work afterwards."""
    with Peak(worker.process.pid) as peak:
        yield
    outcome.notes.append(f"worker and decoder took {peak.grown_mib:.0f} MiB above {peak.began / MIB:.0f} MiB")
    outcome.expect(peak.grown_mib <= grown_mib_max, f"{peak.grown_mib:.0f} MiB more, allowed are {grown_mib_max:.0f}")
    outcome.expect(worker.is_alive, "the worker ended")
    with site.client() as api:
        sound = {"sound.wav": audio_file("wav", 1)}
        outcome.expect(codes(api, sound) == {"sound.wav": "succeeded"}, "a sound file failed afterwards")


def wait_until(holds: object, *, within_s: float) -> bool:
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        if holds():  # type: ignore[operator]
            return True
        time.sleep(0.02)
    return False


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if not path.is_dir()}
