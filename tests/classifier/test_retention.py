"""Batches that are removed while clients read them: all of it, or 404 or 410, and never a part that looks whole."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from concurrent.futures import ThreadPoolExecutor
from threading import Event

import httpx
import pytest

from groovemark.db import retention
from groovemark.db.session import Database, create_engine
from tests.conftest import Service
from tests.inputs import many_fma_rows
from tests.ledger import broken_promises, fetch
from tests.posting import post_csv

ROWS = 40
ROUTES = ("", "/items?limit=1000", "/errors", "/errors/by-code", "/results.jsonl", "/results.csv", "/results.parquet")


def post(api: httpx.Client, rows: int = ROWS) -> str:
    """A finished batch; answers its id."""
    answer = post_csv(api, many_fma_rows(rows))
    assert answer.status_code == 200, answer.text
    return answer.headers["location"].rpartition("/")[2]


def remove(service: Service, batch_id: str) -> None:
    """Long after its end."""
    fetch(service.database_uri, "UPDATE batch SET finished_at = now() - interval '3 days' WHERE id = $1", batch_id)

    async def run() -> None:
        database = Database(create_engine(service.database_uri, pool_size=1))
        async with database.transaction() as connection:
            found = await retention.expired(connection, after_days=2, limit=1000)
            assert batch_id in map(str, found)
            for expired in found:
                assert await retention.remove_batch(connection, expired, after_days=2)
        await database.close()

    asyncio.run(run())


def complete(route: str, answer: httpx.Response) -> bool:
    """Whether an answer has all of the batch."""
    if route == "/results.jsonl":
        return len(answer.text.splitlines()) == ROWS
    if route == "/results.csv":
        return len(answer.text.splitlines()) == ROWS + 1
    if route.startswith("/items"):
        return len(answer.json()["items"]) == ROWS
    return True


def test_a_page_after_a_batch_that_was_removed_goes_on(service: Service) -> None:
    """The cursor was the batch's id alone, and without the batch the list seemed to be over."""
    with service.client() as api:
        oldest, middle, newest = post(api, 1), post(api, 1), post(api, 1)
        first = api.get("/classifier/batches?limit=2")
        assert [batch["id"] for batch in first.json()["batches"]] == [newest, middle]
        remove(service, middle)
        second = api.get(first.links["next"]["url"].removeprefix("/api/v1"))
        assert [batch["id"] for batch in second.json()["batches"]] == [oldest]


def test_readers_of_batches_that_are_removed_meanwhile_get_all_of_them_or_404_or_410(service: Service) -> None:
    done = Event()
    with service.client(catalog="expiring") as api, ThreadPoolExecutor(len(ROUTES)) as pool:
        current = [post(api)]

        def read(route: str) -> set[int]:
            seen = set()
            with httpx.Client(base_url=api.base_url, headers=api.headers, timeout=60) as reader:
                while not done.is_set():
                    try:
                        answer = reader.get(f"/classifier/batches/{current[0]}{route}")
                    except httpx.RemoteProtocolError:  # broken off, because its batch went in the middle
                        continue
                    assert answer.status_code in (200, 404, 410), answer.text
                    assert answer.status_code != 200 or complete(route, answer), route
                    seen.add(answer.status_code)
            return seen

        readers = [pool.submit(read, route) for route in ROUTES]
        try:
            for _ in range(4):
                current[0] = post(api)
                remove(service, current[0])
        finally:
            done.set()
        for reader in readers:
            assert {200, 404} <= reader.result()
    assert broken_promises(service.database_uri, "expiring") == {}


def test_download_of_a_batch_that_is_removed_in_its_middle_breaks_off(service: Service, api: httpx.Client) -> None:
    """It would look whole if it just ended."""
    batch_id = post(api, 1)
    # More than the kernel keeps for a client that does not read.
    for table, columns in (
        ("batch_item", "external_id, title, state"),
        ("prediction", "track_id, model_version_id, label, confidence, probabilities"),
    ):
        fetch(
            service.database_uri,
            f"""INSERT INTO {table} (batch_id, position, {columns})
                SELECT batch_id, position + number, {columns} FROM {table}, generate_series(1, 12000) number
                WHERE batch_id = $1""",
            batch_id,
        )
    with socket.create_connection((api.base_url.host, api.base_url.port or 80), timeout=60) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        headers = "".join(f"{name}: {api.headers[name]}\r\n" for name in ("client-id", "client-secret"))
        path = f"{api.base_url.path}classifier/batches/{batch_id}/results.jsonl"
        client.sendall(f"GET {path} HTTP/1.1\r\nHost: here\r\n{headers}\r\n".encode())
        received = client.recv(1000)
        assert received.startswith(b"HTTP/1.1 200")
        remove(service, batch_id)
        received += b"".join(itertools.takewhile(bool, iter(lambda: client.recv(1 << 20), None)))
    assert not received.endswith(b"0\r\n\r\n"), "the last chunk says that all is there"
    lines = [line for line in received.decode().splitlines() if line.startswith("{")]
    assert 0 < len(lines) < 12_000
    assert json.loads(lines[0])["external_id"] == "1"


def test_parquet_file_that_was_removed_is_gone(service: Service, api: httpx.Client) -> None:
    """Its row is read, and it is opened a moment later."""
    batch_id = post(api)
    path = f"/classifier/batches/{batch_id}/results.parquet"
    assert api.get(path).status_code == 200
    [row] = fetch(service.database_uri, "SELECT sha256 FROM result_file WHERE batch_id = $1", batch_id)
    (service.storage / "objects" / row["sha256"][:2] / row["sha256"]).unlink()
    answer = api.get(path)
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (410, "gone")
    remove(service, batch_id)
    assert api.get(path).status_code == 404


@pytest.mark.parametrize("action", ["retry", "cancel", "start", "files"])
def test_writing_to_a_batch_that_was_removed_answers_404(service: Service, api: httpx.Client, action: str) -> None:
    batch_id = post(api)
    remove(service, batch_id)
    files = [("files", ("a.wav", b"x"))] if action == "files" else None
    assert api.post(f"/classifier/batches/{batch_id}/{action}", files=files).status_code == 404
