"""One installation of groovemark, PostgreSQL, API and workers in processes of its own, to be harmed at will."""

from __future__ import annotations

import contextlib
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import httpx

from groovemark.cli.db import upgrade_schema
from groovemark.db import embedded
from groovemark.db.embedded.processes import living
from tests.conftest import Server, Service, free_port, wait_until_ready
from tests.ledger import fetch

LEASE_S = 1
GROOVEMARK = (sys.executable, "-m", "groovemark")
WATCHED_WORKER = (sys.executable, "-m", "tests.chaos.watched_worker")
STARTED_WITHIN_S = 300
REPOSITORY = Path(__file__).parents[2]


@dataclass(frozen=True)
class Cluster:
    """A PostgreSQL server that nobody else uses."""

    home: Path

    @property
    def uri(self) -> str:
        return embedded.start(self.home).uri

    def restart(self) -> None:
        embedded.stop(self.home)
        embedded.start(self.home)

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        """Its processes take connections and say nothing, as behind a network that swallows every packet."""
        pids = living(self.home / "postgres" / "data")
        assert pids, "the server's processes were not found"
        for pid in pids:
            _signal(pid, signal.SIGSTOP)
        try:
            yield
        finally:
            for pid in pids:
                _signal(pid, signal.SIGCONT)


def _signal(pid: int, number: signal.Signals) -> None:
    import os

    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, number)


@dataclass(frozen=True)
class Running:
    """A process and where its output goes."""

    process: subprocess.Popen[bytes]
    log: Path
    kind: tuple[object, ...] = ()

    def send(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()

    @contextlib.contextmanager
    def frozen(self) -> Iterator[None]:
        self.send(signal.SIGSTOP)
        try:
            yield
        finally:
            self.send(signal.SIGCONT)

    @property
    def is_alive(self) -> bool:
        return self.process.poll() is None

    def says(self, text: str) -> bool:
        return text in self.log.read_text(errors="replace")

    def wait_until_it_says(self, text: str, *, within_s: float = STARTED_WITHIN_S) -> None:
        deadline = time.monotonic() + within_s
        while not self.says(text):
            assert self.is_alive, f"ended:\n{self.log.read_text(errors='replace')[-4000:]}"
            assert time.monotonic() < deadline, f"never said {text!r}:\n{self.log.read_text(errors='replace')[-4000:]}"
            time.sleep(0.02)


@dataclass
class Site:
    """`environment`: settings of all its processes."""

    cluster: Cluster
    uri: str
    home: Path
    environment: dict[str, str]
    workers: list[Running] = field(default_factory=list)
    api: Running | None = None

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.environment['PORT']}"

    @property
    def storage(self) -> Path:
        return self.home / "storage"

    @property
    def calls(self) -> Path:
        """What watched workers write of every file they begin: seconds since 1970, SHA-256."""
        return self.home / "calls.log"

    def client(self, *, catalog: str | None = None, timeout_s: float = 60) -> httpx.Client:
        """With credentials of its own, in a catalog of its own unless one is named."""
        service = Service(self.address, self.uri, self.storage, 0, 0)
        client = service.client(catalog=catalog)
        client.timeout = httpx.Timeout(timeout_s)
        return client

    def start(self, command: Sequence[str], name: str, **settings: str) -> Running:
        """A process with the site's settings and these."""
        import os

        log = self.home / f"{name}-{uuid.uuid4().hex[:8]}.log"
        with log.open("wb") as file:
            process = subprocess.Popen(
                command,
                cwd=REPOSITORY,
                env={
                    **os.environ,
                    **self.environment,
                    "CHAOS_CALLS": str(self.calls),
                    # A sandbox's child finds nothing in its working directory, and the marks are not installed.
                    "PYTHONPATH": os.pathsep.join(filter(None, (os.environ.get("PYTHONPATH"), str(REPOSITORY)))),
                    **settings,
                },
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
            )
        return Running(process, log, (tuple(command), tuple(sorted(settings.items()))))

    def start_api(self, **settings: str) -> Running:
        """The API, ready; the one before is ended."""
        self.end_api()
        self.api = self.start([*GROOVEMARK, "serve"], "api", **settings)
        wait_until_ready(self.address, self.api.log, (self.api.process,))
        return self.api

    def start_worker(self, *, watched: bool = False, before: Sequence[str] = (), **settings: str) -> Running:
        """A worker that may not be ready yet; `before`: a program that starts it."""
        command = WATCHED_WORKER if watched else (*GROOVEMARK, "worker")
        worker = self.start([*before, *command], "worker", **settings)
        self.workers.append(worker)
        return worker

    def ready(self, count: int, *, watched: bool = False, **settings: str) -> list[Running]:
        """Exactly so many living workers of this kind that have loaded their models; others are ended."""
        command = WATCHED_WORKER if watched else (*GROOVEMARK, "worker")
        kind = (tuple(command), tuple(sorted(settings.items())))
        alike = [worker for worker in self.workers if worker.is_alive and worker.kind == kind][:count]
        for worker in self.workers:
            if worker not in alike:
                worker.kill()
        self.workers = alike
        while len(self.workers) < count:
            self.start_worker(watched=watched, **settings)
        for worker in self.workers:
            worker.wait_until_it_says("worker ready")
        return list(self.workers)

    def know_models(self) -> None:
        """They are in the database once any worker has started."""
        if not self.fetch("SELECT FROM model_version"):
            self.ready(1)

    def end_workers(self) -> None:
        for worker in self.workers:
            worker.kill()
        self.workers = []

    def end_api(self) -> None:
        if self.api is not None:
            self.api.kill()
            self.api = None

    def fetch(self, statement: str, *values: object) -> list[asyncpg.Record]:
        return fetch(self.uri, statement, *values)

    def end(self) -> None:
        self.end_workers()
        self.end_api()


@contextlib.contextmanager
def cluster(folder: Path) -> Iterator[Cluster]:
    folder.mkdir(parents=True, exist_ok=True)
    embedded.start(folder)
    yield Cluster(folder)
    embedded.stop(folder)


@contextlib.contextmanager
def site(cluster: Cluster, home: Path, settings: Mapping[str, str]) -> Iterator[Site]:
    """With an API that is ready, and without workers."""
    home.mkdir(parents=True, exist_ok=True)
    uri = Server(cluster.uri).create_database()
    upgrade_schema(uri)
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(free_port()),
        "LEASE_S": str(LEASE_S),
        "AUDIO_PROCESSES": "1",
        "MODEL_THREADS": "1",
        "AUDIO_DEVICE": "cpu",
        "AUDIO_FILES_MAX": "20000",
        # What was worked on before is worked on again: the scenarios are about the work.
        "FEATURE_CACHE_BYTES_MAX": "0",
        **settings,
    }
    found = Site(cluster, uri, home, environment)
    try:
        found.start_api()
        yield found
    finally:
        found.end()
