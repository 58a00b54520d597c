"""A disk that is really full: a small file system of its own, in a user namespace, holds the store."""

from __future__ import annotations

import io
import os
import subprocess
import sys
import time
import zipfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest

from groovemark.cli.db import upgrade_schema
from tests.conftest import Server, Service, free_port, wait_until_ready
from tests.inputs import audio_file, echonest_csv
from tests.ledger import broken_promises, fetch, watch
from tests.posting import post_audio, post_csv

DISK_MIB = 8
LARGER_MIB = 64
MIB = 1024**2
IN_NAMESPACE = f"""
    mount -t tmpfs -o size={DISK_MIB}m tmpfs "$STORAGE_PATH" || exit 1
    "$0" -m groovemark worker >"$HOME_FOLDER/worker.log" 2>&1 &
    worker=$!
    trap 'kill $worker $api; wait' TERM
    "$0" -m groovemark serve >"$HOME_FOLDER/api.log" 2>&1 &
    api=$!
    wait
"""


def may_mount() -> bool:
    probe = ["unshare", "-Urm", "mount", "-t", "tmpfs", "tmpfs", "/mnt"]
    try:
        return subprocess.run(probe, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        return False


@dataclass(frozen=True)
class Confined:
    """A service whose store has little room."""

    service: Service
    pid: int
    log: Path

    def files(self) -> list[str]:
        """What lies in the store, seen from inside."""
        root = Path(f"/proc/{self.pid}/root") / self.service.storage.relative_to("/")
        return [str(path.relative_to(root)) for path in root.rglob("*") if path.is_file()]

    def make_room(self) -> None:
        namespace = ["nsenter", "--preserve-credentials", "-U", "-m", "-t", str(self.pid)]
        remount = ["mount", "-o", f"remount,size={LARGER_MIB}m", str(self.service.storage)]
        subprocess.run([*namespace, *remount], check=True)


@pytest.fixture(scope="module")
def confined(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Confined]:
    if not may_mount():
        pytest.skip("this machine lets nobody mount a file system in a user namespace")
    uri = postgres.create_database()
    upgrade_schema(uri)
    home = tmp_path_factory.mktemp("confined")
    (home / "storage").mkdir()
    port = free_port()
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home / "state"),
        "STORAGE_PATH": str(home / "storage"),
        "HOME_FOLDER": str(home),
        "PORT": str(port),
        "REQUIRE_WORKER": "true",
        "AUDIO_PROCESSES": "1",
        "FEATURE_CACHE_BYTES_MAX": "0",
    }
    process = subprocess.Popen(
        ["unshare", "-Urm", "sh", "-c", IN_NAMESPACE, sys.executable], env={**os.environ, **environment}
    )
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, home / "worker.log", [process])
        yield Confined(
            Service(address, uri, home / "storage", process.pid, process.pid), process.pid, home / "worker.log"
        )
    finally:
        process.terminate()
        process.wait(30)


def packed(name: str, content: bytes) -> bytes:
    """A zip much smaller than what is in it."""
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def test_upload_for_which_there_is_no_room_is_refused_as_such_and_leaves_nothing(confined: Confined) -> None:
    with confined.service.client(catalog="full") as api:
        answer = post_audio(api, {"small.wav": audio_file(), "large.wav": bytes((DISK_MIB + 4) * MIB)})
        assert (answer.status_code, answer.headers["content-type"]) == (507, "application/problem+json")
        assert answer.json()["info"]["errorCode"] == "storage_full"
        assert confined.files() == []
        assert api.get("/classifier/batches").json()["batches"] == []
        assert post_csv(api, echonest_csv(3)).status_code == 200


def test_zip_that_a_worker_has_no_room_to_unpack_waits_for_it_and_costs_no_attempt(confined: Confined) -> None:
    loud = audio_file(duration_s=1)
    large = loud + bytes((DISK_MIB + 4) * MIB)  # behind the end of the samples
    with confined.service.client(catalog="full") as api:
        path = post_audio(api, {"large.zip": packed("large.wav", large)}).headers["location"]
        deadline = time.monotonic() + 60
        while "disk is full" not in confined.log.read_text():
            assert time.monotonic() < deadline, api.get(path.removeprefix("/api/v1")).text
            time.sleep(0.1)
        batch = api.get(path.removeprefix("/api/v1")).json()
        assert (batch["state"], batch["counts"]["failed"]) == ("running", 0)
        confined.make_room()
        assert watch(api, path)["counts"] == {**batch["counts"], "succeeded": 1}
    [job] = fetch(confined.service.database_uri, "SELECT attempt FROM job WHERE first_position IS NOT NULL")
    assert job["attempt"] == 1
    assert broken_promises(confined.service.database_uri, "full") == {}
    assert len(confined.files()) == 2, confined.files()
