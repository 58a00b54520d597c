"""Nobody without a live secret learns or stores anything, and secrets are nowhere to be found."""

from __future__ import annotations

import asyncio
import json
import threading
import uuid
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

import httpx
import pytest
from sqlalchemy import event, text

from groovemark.config import Settings
from groovemark.db import clients
from groovemark.db.session import Database, create_engine
from groovemark.errors import ConfigurationError
from groovemark.main import create_app
from tests.attack.target import UPLOAD, Target, add_client, part

PUBLIC = {"/", "/live", "/ready", "/api/v1/healthcheck"}
ABSURD = {"limit": "-1", "after": "%", "genre": "\0", "task": "\0" * 1000, "state": "x", "severity": "x"}


def operations(target: Target) -> Iterator[tuple[str, str]]:
    description = httpx.get(f"{target.address}/openapi.json").json()
    for path, methods in description["paths"].items():
        for method in methods:
            yield method, path


def test_every_route_but_the_public_ones_answers_401_without_credentials_whatever_else_is_wrong(target: Target) -> None:
    wrong = [
        {},
        {"client-id": target.client_id},
        {"client-secret": target.secret},
        {"client-id": target.client_id, "client-secret": "wrong"},
        {"client-id": "unknown", "client-secret": target.secret},
        {"client-id": "", "client-secret": ""},
        {"client-id": target.client_id.upper(), "client-secret": target.secret},
        {"client-id": target.client_id, "client-secret": target.secret + " x"},
        {"client-id": "x" * 5000, "client-secret": "x" * 5000},
        {"client-id": "' OR 1=1 --", "client-secret": "é"},
    ]
    paths = [(method, path) for method, path in operations(target) if path not in PUBLIC]
    assert len(paths) >= 10
    with httpx.Client(base_url=target.address) as client:
        for method, path in paths:
            broken = path.replace("{batch_id}", "no-uuid").replace("{file_format}", "exe")
            for number, headers in enumerate(wrong):
                encoded = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
                parameters = ABSURD if number % 2 else {}
                answer = client.request(method, broken, headers=encoded, params=parameters)
                assert answer.status_code == 401, (method, path, headers)
                assert answer.json()["info"] == {
                    "errorCode": "unauthorized_error",
                    "message": "Unauthorized. Did you pass in the correct headers?",
                }


def test_public_routes_ask_for_no_credentials(target: Target) -> None:
    for path in (*PUBLIC, "/docs", "/openapi.json"):
        assert httpx.get(f"{target.address}{path}").status_code in (200, 307), path


def test_hundred_megabytes_with_a_wrong_secret_are_neither_stored_nor_read(target: Target) -> None:
    before, piece = target.memory_bytes(), b"x" * 65_536
    start = part("csv_file", b"", file_name="a.csv")[:-2]
    answer = target.upload([start, *[piece] * 1600], **{"client-secret": "wrong"})
    assert answer.status == 401
    assert answer.sent_bytes < 50_000_000
    assert target.stored_files() == []
    assert target.memory_bytes() - before < 20 * 1024 * 1024


def test_small_upload_with_a_wrong_secret_leaves_the_connection_usable(target: Target) -> None:
    with httpx.Client(base_url=target.address, headers={**target.credentials, "client-secret": "wrong"}) as client:
        for _ in range(3):
            assert client.post(UPLOAD, files={"csv_file": ("a.csv", b"x" * 500_000)}).status_code == 401
    assert target.stored_files() == []


async def test_unknown_id_and_wrong_secret_run_the_same_statements(database_uri: str) -> None:
    """So that the time an answer takes tells nothing about which ids exist."""
    engine = create_engine(database_uri)
    database, statements = Database(engine), []
    client_id = f"client-{uuid.uuid4().hex}"
    async with database.transaction() as connection:
        await clients.add(connection, client_id)
    event.listen(engine.sync_engine, "before_cursor_execute", lambda *args: statements.append(args[2]))
    ran = []
    for caller in (client_id, "unknown"):
        statements.clear()
        async with database.transaction() as connection:
            assert await clients.authenticate(connection, caller, "wrong") is None
        ran.append(list(statements))
    await database.close()
    assert ran[0] == ran[1] != []


async def test_rotation_fails_no_request(target: Target) -> None:
    """A client changes over from secret to secret while it keeps calling."""
    database = Database(create_engine(target.database_uri))
    client_id = f"rotating-{uuid.uuid4().hex}"
    async with database.transaction() as connection:
        secret = [await clients.add(connection, client_id)]
    statuses: list[int] = []
    stop, some_calls = threading.Event(), threading.Semaphore(0)

    def call() -> None:
        with httpx.Client(base_url=target.address) as client:
            while not stop.is_set():
                headers = {"client-id": client_id, "client-secret": secret[0]}
                statuses.append(client.get("/api/v1/genre/list", headers=headers).status_code)
                if len(statuses) % 3 == 0:
                    some_calls.release()

    thread = threading.Thread(target=call)
    thread.start()
    try:
        for _ in range(10):
            async with database.transaction() as connection:
                new = await clients.rotate(connection, client_id)
            await asyncio.to_thread(some_calls.acquire)  # with the old one
            secret[0] = new
            await asyncio.to_thread(some_calls.acquire)  # with the new one
    finally:
        stop.set()
        thread.join()
        await database.close()
    assert len(statuses) >= 40
    assert set(statuses) == {200}


async def test_third_secret_ends_the_first_and_revocation_ends_all(database: Database) -> None:
    client_id = f"client-{uuid.uuid4().hex}"
    async with database.transaction() as connection:
        first = await clients.add(connection, client_id)
        second = await clients.rotate(connection, client_id)
        third = await clients.rotate(connection, client_id)
        live = [await clients.authenticate(connection, client_id, secret) for secret in (first, second, third)]
        assert [caller is not None for caller in live] == [False, True, True]
        await clients.revoke(connection, client_id)
        for secret in (first, second, third):
            assert await clients.authenticate(connection, client_id, secret) is None


async def test_secret_is_stored_as_a_hash_alone(target: Target) -> None:
    """Every cell of every table is searched, as text and as bytes."""
    with target.client() as client:
        assert client.get("/api/v1/genre/list").status_code == 200
    engine = create_engine(target.database_uri)
    async with engine.connect() as connection:
        names = await connection.scalars(text("SELECT tablename FROM pg_tables WHERE schemaname = 'public'"))
        dump = ""
        for name in names.all():
            rows = await connection.scalars(text(f'SELECT CAST(t AS text) FROM "{name}" t'))
            dump += "\n".join(rows.all())
    await engine.dispose()
    assert target.client_id in dump
    assert clients.hash_secret(target.secret).hex() in dump
    assert target.secret not in dump
    assert target.secret.encode().hex() not in dump


def test_canary_secret_is_in_no_log_whatever_goes_wrong(target: Target) -> None:
    canary = target.secret
    with target.client() as client:
        for secret in (canary, f"{canary}-wrong"):
            client.headers["client-secret"] = secret
            for method, path in operations(target):
                client.request(method, path, params=ABSURD)
            client.get(f"/nosuch/{uuid.uuid4()}")
            client.post(UPLOAD, content=b"no form")
            client.post(UPLOAD, files={"csv_file": ("a.csv", canary.encode()), "other": b""})
            client.post(UPLOAD, files={"csv_file": ("a.csv", b"x")}, data={"task": canary})
    target.exchange(f"GET / HTTP/1.1\r\nclient-secret: {canary}\r\nbad header\r\n\r\n")
    target.exchange(f"GET / HTTP/1.1\r\nHost: x\r\nclient-secret: {canary}\r\nx: {'y' * 500_000}")
    assert "Invalid HTTP request" in target.log
    assert canary not in target.log
    password = urlsplit(target.database_uri).password
    assert password
    assert password not in target.log


@pytest.mark.parametrize(
    "uri",
    [
        "postgresql://user:CANARY@127.0.0.1:nonumber/x",
        "user:CANARY@127.0.0.1:nonumber/x",
        "mysql://user:CANARY@127.0.0.1/x",
    ],
)
def test_wrong_address_of_the_database_is_refused_at_start_without_its_password(uri: str, tmp_path: Path) -> None:
    """It was found out in the middle of starting, with a stack trace."""
    with pytest.raises(ConfigurationError, match="POSTGRES_URI") as refused:
        create_app(Settings(postgres_uri=uri, groovemark_home=tmp_path))
    assert "CANARY" not in str(refused.value)


def test_read_only_client_may_not_write(target: Target) -> None:
    client_id = f"reader-{uuid.uuid4().hex}"
    headers = {"client-id": client_id, "client-secret": add_client(target.database_uri, client_id, scopes=("read",))}
    with httpx.Client(base_url=target.address, headers=headers) as client:
        for method, path in operations(target):
            if path in PUBLIC:
                continue
            known = path.replace("{batch_id}", str(uuid.uuid4())).replace("{file_format}", "csv")
            answer = client.request(method, known, files={"csv_file": ("a.csv", b"x")} if method == "post" else None)
            assert (answer.status_code == 403) == (method in ("post", "delete")), (method, path)
    assert target.stored_files() == []
    assert json.loads(answer.text)["status"] == answer.status_code
