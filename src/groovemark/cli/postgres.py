"""The PostgreSQL that a command works on: the one of POSTGRES_URI, or the embedded one of GROOVEMARK_HOME."""

from __future__ import annotations

import asyncio
import fcntl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import asyncpg

from groovemark.config import Settings
from groovemark.db import embedded
from groovemark.db.embedded.place import find_folder
from groovemark.db.embedded.processes import postmaster_of
from groovemark.db.session import connect, normalise_uri
from groovemark.errors import ConfigurationError

UP_LOCK = "up.lock"
COMMAND_LOCK = "command.lock"


@contextmanager
def borrowed_database(settings: Settings, *, creates: bool) -> Iterator[str]:
    """The database's address for the time of one command, which leaves the embedded server as it found it.

    Raises ConfigurationError where no database answers, or there is none yet and the command `creates` none.
    """
    if settings.postgres_uri is not None:
        refuse_unreachable(settings.postgres_uri)
        yield settings.postgres_uri
        return
    home = settings.groovemark_home
    if not creates and not has_cluster(home):
        raise ConfigurationError(
            f"There is no database in {home}. Run `groovemark up` first, or set GROOVEMARK_HOME or POSTGRES_URI to "
            "where it is."
        )
    # One command at a time: the first to end would stop the server under the others.
    with locked(home, COMMAND_LOCK):
        was_running = is_running(home)
        uri = embedded.start(home).uri
        try:
            yield uri
        finally:
            if not was_running and not _is_up(home):
                embedded.stop(home)


def start_for_up(home: Path) -> str:
    """The embedded server's address; no command that is about to end will stop it."""
    with locked(home, COMMAND_LOCK):
        return embedded.start(home).uri


def revive(home: Path) -> str | None:
    """The address of the embedded server where it had died and was started again, else None.

    Raises ConfigurationError where it cannot be started.
    """
    if is_running(home):
        return None
    if not has_cluster(home):
        raise ConfigurationError(f"The database in {home} is gone.")
    return embedded.start(home).uri


def has_cluster(home: Path) -> bool:
    try:
        return _data(home).exists()
    except PermissionError:  # another account's; starting it says so
        return True


def is_running(home: Path) -> bool:
    try:
        return postmaster_of(_data(home)) is not None
    except PermissionError:
        return False


def _data(home: Path) -> Path:
    return find_folder(home.resolve()) / "data"


@contextmanager
def locked(home: Path, name: str, *, waits: bool = True) -> Iterator[None]:
    """Hold a lock file of the home. Raises BlockingIOError where another has it and this one does not wait."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / name).open("a")
    except OSError as error:
        raise ConfigurationError(
            f"GROOVEMARK_HOME={home} cannot be written to ({error.strerror}); set another one."
        ) from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX if waits else fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield


def _is_up(home: Path) -> bool:
    """Whether `groovemark up` runs on the home: the server is its own then, whoever started it."""
    try:
        with locked(home, UP_LOCK, waits=False):
            return False
    except BlockingIOError:
        return True


def refuse_unreachable(uri: str) -> None:
    """Raises ConfigurationError, which names the place and never the password, when no database answers there."""
    place = normalise_uri(uri).rpartition("://")[2].rpartition("@")[2].partition("?")[0]
    try:
        asyncio.run(_connect_once(uri))
    except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError) as error:
        # A DSN that cannot be parsed is an InterfaceError too; the driver quotes no more of it than one parameter.
        reason = " ".join(str(error).split()) or "no answer in time"
        raise ConfigurationError(f"The database {place} of POSTGRES_URI cannot be reached: {reason}") from error
    except (ValueError, OverflowError) as error:  # a host or port that is none; the reason may quote the password
        raise ConfigurationError("POSTGRES_URI must look like user:pw@host:port/db or postgresql://…") from error


async def _connect_once(uri: str) -> None:
    await (await connect(uri)).close()
