"""A full queue is told before a byte of the body is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from groovemark.cli.db import upgrade_schema
from tests.attack.target import Target, add_client, running_api
from tests.conftest import Server
from tests.ledger import fetch

MIB = b"\0" * 1024 * 1024


@pytest.fixture(scope="module")
def full(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    """An API without a worker that takes six items, three of each client."""
    uri = postgres.create_database()
    upgrade_schema(uri)
    fetch(  # that a worker would have made
        uri,
        """INSERT INTO model_version (name, version, alias, state, family, task, labels, features, columns, takes_audio,
                                      size_bytes, metrics)
           VALUES ('some', '1', NULL, 'active', 'boosting', 'genre', '{pop}', 'fma-42', '{tempo}', true, 1, '{}')""",
    )
    home: Path = tmp_path_factory.mktemp("full")
    with running_api(home, uri, QUEUE_ITEMS_MAX="6", QUEUE_CLIENT_SHARE="0.5") as running:
        yield running


def client(target: Target, name: str) -> httpx.Client:
    headers = {"client-id": name, "client-secret": add_client(target.database_uri, name)}
    return httpx.Client(base_url=f"{target.address}/api/v1", headers=headers, timeout=30)


def post(api: httpx.Client, **parts: tuple[str, bytes]) -> httpx.Response:
    return api.post("/classifier/predict-batch", files=parts, headers={"prefer": "respond-async"})


def unread() -> Iterator[bytes]:
    while True:
        yield MIB


def refused(api: httpx.Client) -> tuple[int, str, str]:
    """What a body without end is answered."""
    headers = {"content-type": "multipart/form-data; boundary=b"}
    for _ in range(20):
        try:
            answer = api.post("/classifier/predict-batch", content=unread(), headers=headers)
        except httpx.WriteError:  # the server hung up before the answer could be read
            continue
        return answer.status_code, answer.json()["info"]["errorCode"], answer.headers["retry-after"]
    raise AssertionError("never answered")


def test_client_that_has_its_share_waiting_is_refused_and_everybody_when_the_queue_is_full(full: Target) -> None:
    with client(full, "greedy") as greedy, client(full, "modest") as modest:
        path = f"/classifier/batches/{greedy.post('/classifier/batches').json()['id']}"
        assert greedy.post(f"{path}/files", files={"files": ("a.wav", b"x")}).status_code == 201
        assert post(greedy, csv_file=("a.csv", MIB * 2 + b"x")).status_code == 202  # counts as three
        assert refused(greedy) == (429, "queue_full", "60")
        assert greedy.post(f"{path}/start").status_code == 429
        assert greedy.get(path).json()["state"] == "open"
        assert greedy.post(f"{path}/files", files={"files": ("b.wav", b"x")}).status_code == 201

        assert post(modest, csv_file=("a.csv", MIB * 2 + b"x")).status_code == 202
        assert refused(modest) == (503, "queue_full", "60")
        assert refused(greedy) == (503, "queue_full", "60")

        # Two batches of a file each ended in the last ten seconds; the queue has one item too many.
        fetch(
            full.database_uri,
            """INSERT INTO batch (id, catalog_id, client_id, kind, task, state, on_error, items_total, items_succeeded,
                                  started_at, finished_at)
               SELECT gen_random_uuid(), catalog_id, client_id, 'audio', 'genre', 'completed', 'reject', 1, 1,
                      now() - interval '10 s', now() - interval '1 s' FROM batch WHERE client_id = 'modest'
               UNION ALL SELECT gen_random_uuid(), catalog_id, client_id, 'audio', 'genre', 'completed', 'reject', 1, 1,
                      now() - interval '10 s', now() - interval '1 s' FROM batch WHERE client_id = 'modest'""",
        )
        while (answer := refused(modest))[2] == "60":
            pass
        assert answer[:2] == (503, "queue_full")
        assert 5 <= int(answer[2]) <= 8


def test_a_full_queue_does_not_keep_an_answer_from_being_given_again(full: Target) -> None:
    with client(full, "patient") as patient:
        key = {"idempotency-key": "k"}
        assert patient.post("/classifier/batches", headers=key).status_code == 201
        again = patient.post("/classifier/batches", headers=key)
        assert (again.status_code, again.headers["idempotency-replayed"]) == (201, "true")
