"""Workers that are killed and frozen under a table, and a database that restarts: nothing is lost, nothing doubled.

`tests/chaos` does the same under audio.
"""

from __future__ import annotations

import contextlib
import signal
import subprocess
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import httpx
import pytest

from groovemark.cli.db import upgrade_schema
from groovemark.db import embedded
from tests.conftest import Server, Service, free_port, start_groovemark, wait_until_ready
from tests.inputs import audio_file, distinct_clips, many_fma_rows, zip_file
from tests.ledger import broken_promises, fetch, watch
from tests.posting import post_audio, post_csv

Process = subprocess.Popen[bytes]
STARTED_WITHIN_S = 300


@dataclass
class Crew:
    """Workers of one service, with a short lease."""

    environment: dict[str, str]
    home: Path
    workers: list[tuple[Process, Path]] = field(default_factory=list)

    def ready(self, count: int) -> list[Process]:
        """So many living workers that have loaded their models."""
        self.workers = [(worker, log) for worker, log in self.workers if worker.poll() is None]
        self.start(count - len(self.workers))
        deadline = time.monotonic() + STARTED_WITHIN_S
        for worker, log in self.workers:
            while "worker ready" not in log.read_text():
                assert worker.poll() is None, log.read_text()
                assert time.monotonic() < deadline, log.read_text()
                time.sleep(0.05)
        return [worker for worker, _ in self.workers]

    def start(self, count: int) -> None:
        """So many more, without waiting for them."""
        for _ in range(count):
            log = self.home / f"worker-{time.monotonic_ns()}.log"
            self.workers.append((start_groovemark("worker", self.environment, log), log))

    def end(self) -> None:
        for worker, _ in self.workers:
            worker.kill()
            worker.wait()


@pytest.fixture(scope="module")
def cluster_home(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """Of a PostgreSQL that a test may restart."""
    home = tmp_path_factory.mktemp("cluster")
    embedded.start(home)
    yield home
    embedded.stop(home)


@pytest.fixture(scope="module")
def crew(cluster_home: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    uri = Server(embedded.start(cluster_home).uri).create_database()
    upgrade_schema(uri)
    home = tmp_path_factory.mktemp("crew")
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(free_port()),
        "AUDIO_PROCESSES": "1",
        "LEASE_S": "1",
    }
    crew = Crew(environment, home)
    yield crew
    crew.end()


@pytest.fixture(scope="module")
def service(crew: Crew) -> Iterator[Service]:
    """An API before the crew."""
    process = start_groovemark("serve", crew.environment, crew.home / "api.log")
    address = f"http://127.0.0.1:{crew.environment['PORT']}"
    wait_until_ready(address, crew.home / "api.log", (process,))
    yield Service(address, crew.environment["POSTGRES_URI"], crew.home / "storage", process.pid, 0)
    process.terminate()
    process.wait(30)


@contextlib.contextmanager
def frozen(*workers: Process) -> Iterator[None]:
    """They do nothing meanwhile, not even beat."""
    for worker in workers:
        worker.send_signal(signal.SIGSTOP)
    try:
        yield
    finally:
        for worker in workers:
            worker.send_signal(signal.SIGCONT)


def clips(count: int) -> dict[str, bytes]:
    return {"clips.zip": zip_file(distinct_clips(count, 2))}


def batch_path(answer: httpx.Response) -> str:
    return answer.headers["location"].removeprefix("/api/v1")


def attempts(service: Service, path: str) -> int:
    """At the job, of all those of the batch, that took the most."""
    [row] = fetch(
        service.database_uri, "SELECT max(attempt) AS most FROM job WHERE batch_id = $1", path.rpartition("/")[2]
    )
    return int(row["most"])


def newest_batch(api: httpx.Client, *, count: int) -> str:
    """Its id, once there are so many."""
    deadline = time.monotonic() + STARTED_WITHIN_S
    while len(found := api.get("/classifier/batches").json()["batches"]) < count:
        assert time.monotonic() < deadline, found
        time.sleep(0.02)
    newest: str = found[0]["id"]
    return newest


def assert_complete(service: Service, api: httpx.Client, path: str, items: int) -> None:
    """Every item has succeeded, once."""
    ended = watch(api, path)
    assert api.get(f"{path}/errors").json() == {"errors": []}
    assert (ended["state"], ended["counts"]["succeeded"], ended["counts"]["items"]) == ("completed", items, items)
    assert ended["progress"] == 1
    assert broken_promises(service.database_uri, api.headers["client-id"]) == {}
    assert len(api.get(f"{path}/results").text.splitlines()) == items


def test_a_table_whose_worker_is_killed_is_classified_by_another(
    crew: Crew, service: Service, api: httpx.Client
) -> None:
    first, second = crew.ready(2)
    with frozen(second):
        path = batch_path(post_csv(api, many_fma_rows(12_000), prefer="respond-async"))
        watch(api, path, until={"running"})
        first.kill()
        first.wait()
    assert_complete(service, api, path, 12_000)
    assert attempts(service, path) == 2


def test_a_worker_that_wakes_after_its_lease_changes_nothing(crew: Crew, service: Service, api: httpx.Client) -> None:
    first, second = crew.ready(2)
    with frozen(second):
        path = batch_path(post_csv(api, many_fma_rows(12_000), prefer="respond-async"))
        watch(api, path, until={"running"})
        first.send_signal(signal.SIGSTOP)
    assert_complete(service, api, path, 12_000)
    first.send_signal(signal.SIGCONT)
    again = batch_path(post_csv(api, many_fma_rows(10, first_id=5)))
    assert_complete(service, api, again, 10)
    assert_complete(service, api, path, 12_000)
    assert attempts(service, path) == 2


def test_a_table_that_is_waited_for_outlives_a_restart_of_the_database(
    crew: Crew, service: Service, api: httpx.Client, cluster_home: Path
) -> None:
    workers = crew.ready(1)
    with ThreadPoolExecutor(1) as another:
        waiting = another.submit(post_csv, api, many_fma_rows(12_000))
        path = f"/classifier/batches/{newest_batch(api, count=1)}"
        watch(api, path, until={"running"})
        embedded.stop(cluster_home)
        refused = api.get(path)
        embedded.start(cluster_home)
        table = waiting.result()
    assert (refused.status_code, refused.json()["info"]["errorCode"]) == (503, "postgres_error")
    assert table.status_code == 200
    assert_complete(service, api, path, 12_000)
    assert [worker.poll() for worker in workers] == [None] * len(workers)
    assert post_csv(api, many_fma_rows(1)).status_code == 200


def test_a_job_that_ends_every_worker_is_given_up_with_a_code(crew: Crew, service: Service, api: httpx.Client) -> None:
    """The workers' deaths are told to the database instead of acted out once more."""
    workers = crew.ready(1)
    with frozen(*workers):
        path = batch_path(post_audio(api, clips(2)))
        fetch(
            service.database_uri,
            "UPDATE job SET state = 'running', attempt = 3, lease_until = now() FROM batch "
            "WHERE job_id = job.id AND batch.id = $1",
            path.rpartition("/")[2],
        )
    ended = watch(api, path)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "attempts_exhausted")
    assert broken_promises(service.database_uri, api.headers["client-id"]) == {}


def test_a_batch_that_nobody_works_on_is_cancelled_at_once(crew: Crew, service: Service, api: httpx.Client) -> None:
    workers = crew.ready(1)
    with ThreadPoolExecutor(1) as another, frozen(*workers):
        audio = batch_path(post_audio(api, clips(1) | {"a.wav": audio_file()}))
        assert api.post(f"{audio}/cancel").json()["state"] == "cancelled"
        waiting = another.submit(post_csv, api, many_fma_rows(1))
        table = newest_batch(api, count=2)
        api.post(f"/classifier/batches/{table}/cancel")
        told = waiting.result()
    assert (told.status_code, told.json()["info"]["errorCode"]) == (409, "conflict")
    assert told.headers["location"].endswith(table)
    assert_complete(service, api, batch_path(post_csv(api, many_fma_rows(1))), 1)
    assert {batch["state"] for batch in api.get("/classifier/batches").json()["batches"][1:]} == {"cancelled"}
    assert api.get(audio).json()["counts"]["cancelled"] == 1
    assert attempts(service, audio) == 0
