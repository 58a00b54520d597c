"""The embedded server, started, killed and found again for real."""

from __future__ import annotations

import asyncio
import os
import shutil
import signal
import socket
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import psutil
import pytest

from groovemark.db.embedded import Cluster, server, start, stop
from groovemark.db.embedded.account import Account
from groovemark.db.embedded.place import APART, POINTER, WHEEL_FOLDERS, find_folder, installed_wheel
from groovemark.db.embedded.processes import Postmaster, living, postmaster_of
from groovemark.errors import ConfigurationError

ENDLESS = "SELECT sum(sqrt(a)) FROM generate_series(1, 100000) a, generate_series(1, 100000) b"
START = """
import pathlib, sys
from groovemark.db.embedded import start
print(start(pathlib.Path(sys.argv[1])).uri)
"""

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="only root hands the server to another account")


@pytest.fixture(scope="module")
def passable() -> Iterator[Path]:
    """A folder that every account can pass through; pytest's own are closed to all but their owner."""
    yield from folder_of_homes(0o755)


@pytest.fixture(scope="module")
def closed() -> Iterator[Path]:
    """A folder like root's own home: nobody else passes."""
    yield from folder_of_homes(0o700)


def folder_of_homes(mode: int) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="groovemark-"))
    folder.chmod(mode)
    yield folder
    for home in folder.iterdir():
        stop(home)
        if (home / POINTER).exists():
            place = find_folder(home)
            shutil.rmtree(place)
            shutil.rmtree(place.with_suffix(".previous"), ignore_errors=True)
    shutil.rmtree(folder)


@pytest.fixture(scope="module")
def closed_wheel(closed: Path) -> Path:
    """The programs in a checkout that nobody else passes."""
    wheel = closed / "checkout" / "site-packages"
    for name in WHEEL_FOLDERS:
        shutil.copytree(installed_wheel() / name, wheel / name, ignore=shutil.ignore_patterns("include"))
    return wheel


@pytest.fixture
def home(passable: Path) -> Path:
    return passable / "shared"


@pytest.fixture
def cluster(home: Path) -> Cluster:
    """The server most tests share; each finds it running."""
    return start(home)


def data_of(home: Path) -> Path:
    return find_folder(home.resolve()) / "data"


def postmaster(home: Path) -> Postmaster:
    found = postmaster_of(data_of(home))
    assert found is not None
    return found


def program_of(home: Path) -> Path:
    return Path(f"/proc/{postmaster(home).pid}/exe").readlink()


def assert_apart(home: Path) -> None:
    folder = Path((home / POINTER).read_text().strip())
    assert folder.parent == APART
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    assert folder.stat().st_uid == Account.unprivileged().uid


async def ask(cluster: Cluster, sql: str) -> object:
    connection = await asyncpg.connect(cluster.uri)
    try:
        return await connection.fetchval(sql)
    finally:
        await connection.close()


async def test_a_new_home_has_an_empty_database_in_utf8_and_the_extensions_at_hand(cluster: Cluster) -> None:
    assert await ask(cluster, "SELECT current_database()") == "groovemark"
    assert await ask(cluster, "SELECT count(*) FROM pg_stat_user_tables") == 0
    assert await ask(cluster, "SHOW server_encoding") == "UTF8"
    offered = "SELECT array_agg(name::text) FROM pg_available_extensions WHERE name IN ('vector', 'pg_trgm')"
    assert sorted(await ask(cluster, offered)) == ["pg_trgm", "vector"]


async def test_a_wrong_password_is_refused(cluster: Cluster) -> None:
    with pytest.raises(asyncpg.InvalidPasswordError):
        await asyncpg.connect(cluster.uri.replace(cluster.password, "wrong"))


def test_the_password_is_readable_by_the_servers_account_alone_and_shown_nowhere(cluster: Cluster, home: Path) -> None:
    file = find_folder(home.resolve()) / "password"
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert file.stat().st_uid == data_of(home).stat().st_uid != 0
    assert cluster.password not in repr(cluster)
    assert cluster.password not in cluster.log.read_text()
    for pid in living(data_of(home)):
        assert cluster.password.encode() not in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_the_server_listens_on_loopback_alone(cluster: Cluster, home: Path) -> None:
    sockets = psutil.Process(postmaster(home).pid).net_connections(kind="all")
    listening = [entry.laddr for entry in sockets if entry.status == psutil.CONN_LISTEN or entry.raddr == ""]
    assert [tuple(address) for address in listening] == [("127.0.0.1", cluster.port)]


def test_a_second_start_adopts_the_running_server(cluster: Cluster, home: Path) -> None:
    before = postmaster(home)
    assert start(home) == cluster
    assert postmaster(home) == before


def test_a_server_whose_starter_was_killed_is_adopted(cluster: Cluster, home: Path) -> None:
    stop(home)
    starter = [sys.executable, "-c", f"{START}import os; os.kill(os.getpid(), 9)", home]
    assert subprocess.run(starter, check=False, capture_output=True).returncode == -signal.SIGKILL
    before = postmaster(home)
    assert start(home) == cluster
    assert postmaster(home) == before


async def test_data_and_address_survive_a_stop(cluster: Cluster, home: Path) -> None:
    await ask(cluster, "CREATE TABLE kept AS SELECT 'music' AS word")
    stop(home)
    assert living(data_of(home)) == set()
    again = start(home)
    assert again.uri == cluster.uri
    assert await ask(again, "SELECT word FROM kept") == "music"


async def test_stop_does_not_wait_for_clients_and_may_be_repeated(cluster: Cluster, home: Path) -> None:
    connection = await asyncpg.connect(cluster.uri)
    stop(home)
    stop(home)
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await connection.fetchval("SELECT 1")
    assert living(data_of(home)) == set()


def test_stop_where_nothing_ever_ran_makes_no_folder(passable: Path) -> None:
    stop(passable / "never")
    assert not (passable / "never").exists()


async def test_committed_data_survives_kill_9_of_the_postmaster(cluster: Cluster, home: Path) -> None:
    await ask(cluster, "CREATE TABLE survived AS SELECT 42 AS number")
    os.kill(postmaster(home).pid, signal.SIGKILL)
    again = start(home)
    assert again.uri == cluster.uri
    assert await ask(again, "SELECT number FROM survived") == 42


async def test_a_backend_that_outlives_its_postmaster_is_gone_before_the_next_one_starts(
    cluster: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A backend deep in a computation never notices that its postmaster died."""
    monkeypatch.setattr(server, "ORPHANS_S", 0.5)
    connection = await asyncpg.connect(cluster.uri)
    busy = connection.get_server_pid()
    query = asyncio.create_task(connection.fetchval(ENDLESS))
    await asyncio.sleep(0.2)
    os.kill(postmaster(home).pid, signal.SIGKILL)
    await asyncio.sleep(0.2)
    assert living(data_of(home)) == {busy}
    start(home)
    assert busy not in living(data_of(home))
    with pytest.raises((asyncpg.PostgresError, asyncpg.InterfaceError, OSError)):
        await query


@pytest.mark.parametrize("impostor", ["zombie", "stranger", "nobody at all"])
def test_a_pid_file_is_not_believed_when_its_process_is(impostor: str, cluster: Cluster, home: Path) -> None:
    """PostgreSQL refuses to start while the pid of its pid file can be signalled, as a zombie's can."""
    pid_file = data_of(home) / "postmaster.pid"
    lines = pid_file.read_text().splitlines()
    stop(home)
    process = subprocess.Popen(["sleep", "60" if impostor == "stranger" else "0"], user=data_of(home).stat().st_uid)
    if impostor == "zombie":
        while psutil.Process(process.pid).status() != psutil.STATUS_ZOMBIE:
            time.sleep(0.01)
    elif impostor == "nobody at all":
        process.wait()
    pid_file.write_text("\n".join([str(process.pid), *lines[1:]]) + "\n")
    shutil.chown(pid_file, data_of(home).stat().st_uid)
    assert start(home) == cluster
    assert postmaster(home).pid != process.pid
    process.kill()
    process.wait()


def test_a_port_that_somebody_else_took_is_replaced(cluster: Cluster, home: Path) -> None:
    stop(home)
    with socket.create_server(("127.0.0.1", cluster.port)):
        moved = start(home)
    assert moved.port != cluster.port
    stop(home)
    assert start(home) == moved


def test_a_long_log_is_put_aside_at_the_next_start(cluster: Cluster, home: Path) -> None:
    stop(home)
    os.truncate(cluster.log, server.LOG_BYTES_MAX + 1)
    start(home)
    assert cluster.log.stat().st_size < server.LOG_BYTES_MAX
    assert cluster.log.with_suffix(".1").stat().st_size > server.LOG_BYTES_MAX


def test_processes_that_start_at_once_get_one_server_even_after_a_creation_broken_off(passable: Path) -> None:
    home = passable / "crowd"
    (home / "postgres" / "data.new" / "base").mkdir(parents=True)
    crowd = [subprocess.Popen([sys.executable, "-c", START, home], stdout=subprocess.PIPE, text=True) for _ in range(4)]
    addresses = {process.communicate()[0] for process in crowd}
    assert [process.returncode for process in crowd] == [0] * 4
    assert addresses == {start(home).uri + "\n"}
    stop(home)


def test_a_server_that_cannot_start_says_why(passable: Path) -> None:
    home = passable / "broken"
    (home / "postgres" / "data").mkdir(parents=True)
    with pytest.raises(ConfigurationError, match=r"pg_ctl failed in .*broken"):
        start(home)


def test_a_home_that_is_a_file_is_refused_with_the_settings_to_change(passable: Path) -> None:
    home = passable / "file"
    home.touch()
    with pytest.raises(ConfigurationError, match=r"GROOVEMARK_HOME=.*POSTGRES_URI"):
        start(home)
    home.unlink()


def test_other_systems_are_told_to_set_postgres_uri(passable: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(ConfigurationError, match=r"Linux only, not on darwin.*POSTGRES_URI"):
        start(passable / "elsewhere")


@needs_root
class TestAsRoot:
    async def test_a_home_behind_a_closed_parent_has_its_cluster_apart_and_finds_it_again(self, closed: Path) -> None:
        home = closed / "home"
        cluster = start(home)
        assert_apart(home)
        await ask(cluster, "CREATE TABLE kept AS SELECT 1 AS number")
        stop(home)
        again = start(home)
        assert again.uri == cluster.uri
        assert await ask(again, "SELECT number FROM kept") == 1

    async def test_a_home_removed_and_made_anew_starts_empty_and_the_old_cluster_is_kept(self, closed: Path) -> None:
        home = closed / "home"
        cluster = start(home)
        folder = find_folder(home.resolve())
        await ask(cluster, "CREATE TABLE old AS SELECT 1 AS number")
        shutil.rmtree(home)
        anew = start(home)
        assert await ask(anew, "SELECT to_regclass('old')") is None
        assert folder.with_suffix(".previous").is_dir()

    def test_a_pointer_to_a_vanished_folder_is_an_error_and_not_an_empty_database(self, passable: Path) -> None:
        home = passable / "vanished"
        home.mkdir()
        (home / POINTER).write_text(f"{APART}/vanished\n")
        with pytest.raises(ConfigurationError, match="vanished, which is gone"):
            start(home)
        (home / POINTER).unlink()

    async def test_a_closed_checkout_has_its_programs_copied(self, passable: Path, closed_wheel: Path) -> None:
        home = passable / "checked-out"
        cluster = start(home, wheel=closed_wheel)
        assert_apart(home)
        assert program_of(home).is_relative_to(find_folder(home.resolve()))
        await ask(cluster, "CREATE EXTENSION vector")

    def test_a_cluster_whose_checkout_was_closed_later_stays_where_it_is(
        self, cluster: Cluster, home: Path, closed_wheel: Path
    ) -> None:
        stop(home)
        assert start(home, wheel=closed_wheel) == cluster
        assert not (home / POINTER).exists()
        assert program_of(home).is_relative_to(home)

    def test_a_cluster_whose_parents_were_closed_later_is_an_error_and_not_an_empty_database(
        self, cluster: Cluster, home: Path, passable: Path
    ) -> None:
        passable.chmod(0o700)
        try:
            with pytest.raises(ConfigurationError, match="cannot pass through"):
                start(home)
        finally:
            passable.chmod(0o755)

    def test_an_account_other_than_the_clusters_is_told_so(
        self, cluster: Cluster, home: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(os, "getuid", lambda: 12345)
        with pytest.raises(ConfigurationError, match="you are uid 12345"):
            start(home)
