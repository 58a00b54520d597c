"""`groovemark up` as a user runs it: everything starts, the demo is classified, everything stops, data stays."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil
import pytest
from typer.testing import CliRunner

from groovemark.cli import app
from groovemark.cli.up import address_of, show_demo_if_possible
from groovemark.config import Settings
from groovemark.db.embedded.place import find_folder
from groovemark.db.embedded.processes import postmaster_of
from tests.conftest import free_port

ROOT = Path(__file__).parents[2]
STARTED_WITHIN_S = 120
STOPPED_WITHIN_S = 40


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    with TemporaryDirectory(prefix="groovemark-") as folder:
        Path(folder).chmod(0o755)
        yield Path(folder) / "state"


@contextmanager
def running(home: Path, port: int, log: Path, until: str) -> Iterator[subprocess.Popen[bytes]]:
    """`up` until its output holds a pattern; it is told to stop at the end, and must."""
    with log.open("wb") as file:
        process = subprocess.Popen(
            [sys.executable, "-m", "groovemark", "up", "--env-file", "env/local.env"],
            cwd=ROOT,
            env={**os.environ, "GROOVEMARK_HOME": str(home), "PORT": str(port), "AUDIO_PROCESSES": "1"},
            stdout=file,
            stderr=subprocess.STDOUT,
        )
    try:
        deadline = time.monotonic() + STARTED_WITHIN_S
        while not re.search(until, log.read_text()):
            assert process.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(STOPPED_WITHIN_S)


def test_first_start_shows_the_demo_and_the_second_finds_the_data_and_outlives_its_postgres(
    home: Path, tmp_path: Path
) -> None:
    port, log = free_port(), tmp_path / "up.log"
    credentials = {"client-id": "test", "client-secret": "test"}
    genres = f"http://127.0.0.1:{port}/api/v1/genre/list"
    with running(home, port, log, until=r"Genres in the database[\s\S]*└") as up:
        family = [up.pid, *(child.pid for child in psutil.Process(up.pid).children(recursive=True))]
        first = httpx.get(genres, headers=credentials).json()["genre"]
        assert len(first) >= 2
        assert "tracks.csv: completed by echonest-8@1, 200 of 200 classified" in log.read_text()
        assert "clips: completed by fma-8@1, 3 of 3 classified" in log.read_text()
        command = re.search(r"curl (?:.*\\\n)?.*predict-batch", log.read_text())
        assert command is not None
        pasted = subprocess.run(["sh", "-c", command.group()], capture_output=True, text=True, check=True)
        assert '"total_rows_added_to_db":200' in pasted.stdout
    assert up.returncode == 0
    assert not [pid for pid in family if psutil.pid_exists(pid)]
    assert not [process for process in psutil.process_iter(["cmdline"]) if _serves(process, home)]

    with running(home, port, log, until="groovemark is ready"):
        assert httpx.get(genres, headers=credentials).json()["genre"] == first
        assert "demonstration" not in log.read_text()
        _kill_postmaster(home)
        deadline = time.monotonic() + STARTED_WITHIN_S
        while "PostgreSQL had ended and was started again" not in log.read_text() or not _is_ready(port):
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.2)
        assert httpx.get(genres, headers=credentials).json()["genre"] == first


def _kill_postmaster(home: Path) -> None:
    """/ready once stayed 503 after this until everything was started again."""
    found = postmaster_of(find_folder(home.resolve()) / "data")
    assert found is not None
    os.kill(found.pid, signal.SIGKILL)


def _is_ready(port: int) -> bool:
    return httpx.get(f"http://127.0.0.1:{port}/ready", timeout=30).status_code == httpx.codes.OK


def _serves(process: psutil.Process, home: Path) -> bool:
    """Whether it is a PostgreSQL of this home."""
    return any(str(home) in word for word in process.info["cmdline"] or ())


def test_taken_port_is_named(home: Path) -> None:
    """`up` once announced another program's server as its own."""
    import socket

    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        done = subprocess.run(
            [sys.executable, "-m", "groovemark", "up"],
            env={**os.environ, "GROOVEMARK_HOME": str(home), "PORT": str(port)},
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.startswith(f"groovemark: Port {port} of 127.0.0.1 cannot be used")


@pytest.mark.parametrize(
    ("host", "address"),
    [
        ("127.0.0.1", "http://127.0.0.1:5000"),
        ("0.0.0.0", "http://127.0.0.1:5000"),  # noqa: S104
        ("::", "http://[::1]:5000"),
        ("::1", "http://[::1]:5000"),
        ("fd00::5", "http://[fd00::5]:5000"),
        ("localhost", "http://localhost:5000"),
    ],
)
def test_address_is_a_url_whatever_the_host(host: str, address: str) -> None:
    """An IPv6 host without brackets made `up` end with an invalid URL."""
    assert address_of(Settings(host=host, port=5000)) == address


def test_demonstration_that_fails_does_not_end_up(capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(client_id="test", client_secret="test")
    show_demo_if_possible(settings, f"http://127.0.0.1:{free_port()}", threading.Event())
    assert capsys.readouterr().err.startswith("groovemark: the demonstration was broken off: ")


def test_version_is_shown() -> None:
    done = CliRunner().invoke(app, ["--version"])
    assert (done.exit_code, done.stdout) == (0, f"groovemark {version('groovemark')}\n")


def test_wrong_setting_is_named_without_a_trace() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "groovemark", "serve"],
        env={**os.environ, "PORT": "high"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 1
    assert done.stderr.startswith("groovemark: PORT: ")
    assert "Traceback" not in done.stderr
