"""Real parts for every test: an embedded PostgreSQL, and the API and a worker as processes of their own."""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import pytest

from groovemark.cli.db import upgrade_schema
from groovemark.db import clients, embedded
from groovemark.db.session import Database, connect, create_engine

READY_WITHIN_S = 300
REACHABLE_ADDRESS = "127.0.0.2"
"""Of this machine, the only one that the service may open connections to; 127.0.0.1 is as forbidden as it should be."""


@dataclass(frozen=True)
class Server:
    """The PostgreSQL of this test run."""

    uri: str

    def create_database(self) -> str:
        """A new, empty database; answers its URI."""
        name = f"test_{uuid.uuid4().hex}"

        async def create() -> None:
            connection = await connect(self.uri)
            await connection.execute(f"CREATE DATABASE {name}")
            await connection.close()

        asyncio.run(create())
        return f"{self.uri.rsplit('/', 1)[0]}/{name}"


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    # pytest's own folders are closed to other users, and PostgreSQL refuses to run as root.
    with TemporaryDirectory(prefix="groovemark-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        yield Server(embedded.start(home).uri)
        embedded.stop(home)


@pytest.fixture(scope="session")
def database_uri(postgres: Server) -> str:
    """A database with the current schema."""
    uri = postgres.create_database()
    upgrade_schema(uri)
    return uri


@pytest.fixture
async def database(database_uri: str) -> AsyncIterator[Database]:
    database = Database(create_engine(database_uri))
    yield database
    await database.close()


@dataclass(frozen=True)
class Service:
    """A running API with a worker behind it."""

    address: str
    database_uri: str
    storage: Path
    api_pid: int
    worker_pid: int

    def client(self, *, catalog: str | None = None, scopes: tuple[str, ...] = clients.SCOPES) -> httpx.Client:
        """An HTTP client with credentials of its own, in a catalog of its own unless one is named."""
        client_id = f"client-{uuid.uuid4().hex}"

        async def add() -> str:
            database = Database(create_engine(self.database_uri, pool_size=1))
            async with database.transaction() as connection:
                secret = await clients.add(connection, client_id, catalog=catalog or client_id, scopes=scopes)
            await database.close()
            return secret

        headers = {"client-id": client_id, "client-secret": asyncio.run(add())}
        return httpx.Client(base_url=f"{self.address}/api/v1", headers=headers, timeout=60)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start_groovemark(command: str, environment: dict[str, str], log: Path) -> subprocess.Popen[bytes]:
    """`groovemark <command>` as a process, its output in a file."""
    with log.open("wb") as file:
        return subprocess.Popen(
            [sys.executable, "-m", "groovemark", command],
            env={**os.environ, **environment},
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=subprocess.STDOUT,
        )


def wait_until_ready(address: str, log: Path, processes: Sequence[subprocess.Popen[bytes]]) -> None:
    """`log` is shown when one of the processes ends, or time is over, before the service answers."""
    deadline = time.monotonic() + READY_WITHIN_S
    while time.monotonic() < deadline and all(process.poll() is None for process in processes):
        try:
            if httpx.get(f"{address}/ready").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.1)
    raise AssertionError(f"the service did not become ready:\n{log.read_text()}")


@contextlib.contextmanager
def running(postgres: Server, home: Path, **changes: str) -> Iterator[Service]:
    """An API and a worker on a database of their own, with `changes` in their environment."""
    uri = postgres.create_database()
    upgrade_schema(uri)
    port = free_port()
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(port),
        "REQUIRE_WORKER": "true",
        "AUDIO_PROCESSES": "1",
        **changes,
    }
    api = start_groovemark("serve", environment, home / "api.log")
    worker = start_groovemark("worker", environment, home / "worker.log")
    try:
        address = f"http://127.0.0.1:{port}"
        wait_until_ready(address, home / "worker.log", (api, worker))
        yield Service(address, uri, home / "storage", api.pid, worker.pid)
    finally:
        for process in (worker, api):
            process.terminate()
        for process in (worker, api):
            process.wait(30)


@pytest.fixture(scope="session")
def service(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    allowed = f"{REACHABLE_ADDRESS}/32"
    with running(postgres, tmp_path_factory.mktemp("service"), FETCH_ALLOWED_NETWORKS=allowed) as service:
        yield service


@pytest.fixture
def api(service: Service) -> Iterator[httpx.Client]:
    """A client in a catalog of its own."""
    with service.client() as client:
        yield client
