"""Requests that are sent again: carried out once, answered as the first time."""

from __future__ import annotations

import json
import os
import signal
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest
from sqlalchemy import text

from groovemark.db import clients, idempotency
from groovemark.db.idempotency import Answer, Done, Hold
from groovemark.db.session import Database
from groovemark.errors import KeyInUse
from tests.attack.target import part, running_api
from tests.conftest import Service
from tests.inputs import audio_file, echonest_csv, echonest_rows, many_fma_rows, to_csv
from tests.ledger import fetch, watch

PREDICT = "/classifier/predict-batch"


def new_key() -> dict[str, str]:
    return {"idempotency-key": uuid.uuid4().hex}


def code(answer: httpx.Response) -> str:
    return str(answer.json()["info"]["errorCode"])


def assert_replays(again: httpx.Response, first: httpx.Response) -> None:
    assert again.headers.get("idempotency-replayed") == "true"
    assert "idempotency-replayed" not in first.headers
    assert (again.status_code, again.content) == (first.status_code, first.content)
    for name in ("location", "content-type"):
        assert again.headers.get(name) == first.headers.get(name)


def test_the_same_request_fifty_times_at_once_is_one_batch(api: httpx.Client) -> None:
    key, wav = new_key(), audio_file()

    def post(_: int) -> httpx.Response:
        while True:
            answer = api.post(PREDICT, files={"files": ("a.wav", wav)}, headers=key)
            if answer.status_code != 409:
                return answer
            assert (code(answer), answer.headers["retry-after"]) == ("idempotency_key_in_use", "1")
            time.sleep(1)  # as it was told to

    with ThreadPoolExecutor(50) as pool:
        answers = list(pool.map(post, range(50)))
    assert {answer.status_code for answer in answers} == {202}
    assert len({answer.headers["location"] for answer in answers}) == 1
    assert sum("idempotency-replayed" not in answer.headers for answer in answers) == 1
    assert len(api.get("/classifier/batches").json()["batches"]) == 1


def test_first_answer_to_a_table_is_given_again(api: httpx.Client) -> None:
    key, table = new_key(), {"csv_file": ("tracks.csv", echonest_csv(3))}
    first = api.post(PREDICT, files=table, headers=key)
    assert first.status_code == 200
    assert_replays(api.post(PREDICT, files=table, headers=key), first)  # with another boundary
    assert len(api.get("/classifier/batches").json()["batches"]) == 1


def test_rejection_of_rows_is_given_again(api: httpx.Client) -> None:
    key, table = new_key(), {"csv_file": ("tracks.csv", to_csv(echonest_rows(1, tempo="fast")))}
    first = api.post(PREDICT, files=table, headers=key)
    assert first.status_code == 422
    assert_replays(api.post(PREDICT, files=table, headers=key), first)


def test_key_with_another_request_is_refused(api: httpx.Client) -> None:
    key, wav = new_key(), audio_file()
    api.post(PREDICT, files={"files": ("a.wav", wav)}, headers=key)
    others = [
        api.post(PREDICT, files={"files": ("b.wav", wav)}, headers=key),
        api.post(PREDICT, files={"files": ("a.wav", wav + b"x")}, headers=key),
        api.post(PREDICT, files={"files": ("a.wav", wav)}, data={"model": "fma-8"}, headers=key),
        api.post("/predict-batch", files={"files": ("a.wav", wav)}, headers=key),
        api.post("/classifier/batches", headers=key),
    ]
    assert [(answer.status_code, code(answer)) for answer in others] == [(422, "idempotency_key_reused")] * 5
    assert len(api.get("/classifier/batches").json()["batches"]) == 1


def test_json_that_says_the_same_is_the_same_request(api: httpx.Client) -> None:
    key = {**new_key(), "content-type": "application/json"}
    first = api.post("/classifier/batches", content=b'{"task":"genre","model":"fma-8"}', headers=key)
    assert first.status_code == 201, first.text
    again = api.post("/classifier/batches", content=b'{ "model": "fma-8", "task": "genre" }', headers=key)
    assert_replays(again, first)
    assert code(api.post("/classifier/batches", content=b'{"task":"genre"}', headers=key)) == "idempotency_key_reused"


def test_files_are_added_once_and_a_batch_is_started_once(api: httpx.Client) -> None:
    path = f"/classifier/batches/{api.post('/classifier/batches').json()['id']}"
    added, started = new_key(), new_key()
    files = [("files", ("a.wav", audio_file())), ("files", ("b.wav", audio_file(seed=2)))]
    first = api.post(f"{path}/files", files=files, headers=added)
    assert first.status_code == 201, first.text
    assert_replays(api.post(f"{path}/files", files=files, headers=added), first)
    assert api.get(path).json()["counts"]["items"] == 2
    first = api.post(f"{path}/start", headers=started)
    assert first.status_code == 202, first.text
    assert_replays(api.post(f"{path}/start", headers=started), first)
    assert api.post(f"{path}/start").status_code == 409


def test_request_that_failed_before_anything_was_made_frees_its_key(api: httpx.Client) -> None:
    key = new_key()
    assert api.post(PREDICT, files={"csv_file": ("tracks.txt", b"x")}, headers=key).status_code == 415
    answer = api.post(PREDICT, files={"files": ("a.wav", audio_file())}, headers=key)
    assert (answer.status_code, answer.headers.get("idempotency-replayed")) == (202, None)


def test_clients_have_keys_of_their_own(service: Service, api: httpx.Client) -> None:
    key = new_key()
    first = api.post("/classifier/batches", headers=key)
    with service.client(catalog=api.headers["client-id"]) as colleague:
        other = colleague.post("/classifier/batches", headers=key)
    assert (first.status_code, other.status_code) == (201, 201)
    assert first.json()["id"] != other.json()["id"]


@pytest.mark.parametrize("key", ["", "x" * 256, "é", "a\tb"])
def test_what_is_no_key_is_refused(api: httpx.Client, key: str) -> None:
    answer = api.post("/classifier/batches", headers=[(b"idempotency-key", key.encode("latin-1"))])
    assert (answer.status_code, code(answer)) == (422, "request_error")


def test_second_request_is_refused_before_its_body_while_the_first_sends_its_own(api: httpx.Client) -> None:
    headers = {**new_key(), "content-type": "multipart/form-data; boundary=b"}
    go_on, begun = threading.Event(), threading.Event()

    def body() -> Iterator[bytes]:
        yield part("files", audio_file(), file_name="a.wav")
        begun.set()
        go_on.wait(30)
        yield b"--b--\r\n"

    def endless() -> Iterator[bytes]:
        while True:
            yield part("files", b"x" * 60_000, file_name="a.wav")

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(api.post, PREDICT, content=body(), headers=headers)
        begun.wait(30)
        time.sleep(1)  # the first one's head may still be on its way
        while True:
            try:
                answer = api.post(PREDICT, content=endless(), headers=headers)
            except httpx.WriteError:
                continue
            break
        assert (answer.status_code, code(answer)) == (409, "idempotency_key_in_use")
        go_on.set()
        assert first.result().status_code == 202


def test_killed_between_commit_and_answer_the_repeated_request_gets_its_batch(
    service: Service, api: httpx.Client, tmp_path: Path
) -> None:
    key, table = new_key(), {"csv_file": ("tracks.csv", many_fma_rows(5_000))}
    uri = service.database_uri
    with running_api(tmp_path, uri, STORAGE_PATH=str(service.storage)) as dying:

        def post() -> None:
            with pytest.raises(httpx.TransportError):
                httpx.post(f"{dying.address}/api/v1{PREDICT}", files=table, headers={**dict(api.headers), **key})

        waiting = threading.Thread(target=post)
        waiting.start()
        while not (made := api.get("/classifier/batches").json()["batches"]):
            time.sleep(0.01)
        os.kill(dying.pid, signal.SIGKILL)
        waiting.join()
    assert code(api.post(PREDICT, files=table, headers=key)) == "idempotency_key_in_use"
    fetch(uri, "UPDATE idempotency_key SET running_until = now() WHERE key = $1", key["idempotency-key"])
    again = api.post(PREDICT, files=table, headers=key)
    assert (again.status_code, again.headers["idempotency-replayed"]) == (202, "true")
    assert again.headers["location"].endswith(made[0]["id"])
    assert json.loads(again.content)["id"] == made[0]["id"]
    assert watch(api, made[0]["id"])["state"] == "completed"
    assert len(api.get("/classifier/batches").json()["batches"]) == 1


async def claimed(database: Database, client_id: str, *, hold_s: float = 60) -> Hold | Done:
    async with database.transaction() as connection:
        return await idempotency.claim(connection, client_id, "key", hold_s=hold_s)


async def new_client(database: Database) -> str:
    client_id = f"client-{uuid.uuid4().hex}"
    async with database.transaction() as connection:
        await clients.add(connection, client_id)
    return client_id


async def test_process_that_lost_its_key_commits_nothing(database: Database) -> None:
    client_id = await new_client(database)
    stale = await claimed(database, client_id, hold_s=-1)
    current = await claimed(database, client_id)
    assert isinstance(stale, Hold)
    assert isinstance(current, Hold)
    answer = Answer(202, {"location": "/x"}, b"{}")
    with pytest.raises(KeyInUse):
        async with database.transaction() as connection:
            await idempotency.record(connection, stale, b"asked", answer, is_last=False)
    async with database.transaction() as connection:
        await idempotency.record(connection, current, b"asked", answer, is_last=True)
    assert await claimed(database, client_id) == Done(b"asked", answer)


async def test_key_is_new_again_after_a_day_and_upkeep_removes_it(database: Database) -> None:
    client_id = await new_client(database)
    hold = await claimed(database, client_id)
    assert isinstance(hold, Hold)
    old = text("UPDATE idempotency_key SET created_at = now() - interval '25 hours' WHERE client_id = :id")
    async with database.transaction() as connection:
        await idempotency.record(connection, hold, b"asked", Answer(202, {}, b""), is_last=True)
        await connection.execute(old, {"id": client_id})
    assert isinstance(await claimed(database, client_id, hold_s=-1), Hold)
    async with database.transaction() as connection:
        assert await idempotency.forget_older_than(connection) == 0  # it is young again
        await connection.execute(old, {"id": client_id})
        assert await idempotency.forget_older_than(connection) == 1
