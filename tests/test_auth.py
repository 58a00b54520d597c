"""Who may call, from the first moment on: the example's secret, the configured client, a database that comes late."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from groovemark import main
from groovemark.cli.db import upgrade_schema
from groovemark.config import EXAMPLE_SECRET, Settings
from groovemark.db import clients
from groovemark.db.session import Database
from groovemark.errors import ConfigurationError
from groovemark.main import create_app
from tests.conftest import Server, free_port

LIST = "/api/v1/genre/list"


@contextlib.asynccontextmanager
async def started(uri: str, folder: Path, **settings: Any) -> AsyncIterator[httpx.AsyncClient]:
    """The API in this process, and a client of it."""
    app = create_app(Settings(postgres_uri=uri, groovemark_home=folder, **settings))
    transport = httpx.ASGITransport(app)
    async with (
        app.router.lifespan_context(app),
        httpx.AsyncClient(transport=transport, base_url="http://test", timeout=30) as client,
    ):
        yield client


def credentials(client_id: str, secret: str) -> dict[str, str]:
    return {"client-id": client_id, "client-secret": secret}


@pytest.mark.parametrize("host", ["0.0.0.0", "192.0.2.1", "::", "groovemark.example", "::ffff:192.0.2.1"])  # noqa: S104
def test_secret_of_the_example_is_refused_at_start_where_others_can_reach_it(host: str) -> None:
    with pytest.raises(ConfigurationError, match="everyone knows"):
        create_app(Settings(host=host, client_id="test", client_secret=EXAMPLE_SECRET))


@pytest.mark.parametrize("host", ["127.0.0.1", "127.8.8.8", "localhost", "::1"])
def test_secret_of_the_example_is_good_on_loopback(host: str) -> None:
    create_app(Settings(host=host, client_id="test", client_secret=EXAMPLE_SECRET))


async def test_secret_of_the_example_left_in_the_database_is_revoked_where_others_can_reach_it(
    database_uri: str, database: Database, tmp_path: Path
) -> None:
    client_id = f"test-{uuid.uuid4().hex}"
    headers = credentials(client_id, EXAMPLE_SECRET)
    async with started(database_uri, tmp_path, client_id=client_id, client_secret=EXAMPLE_SECRET) as client:
        assert (await client.get(LIST, headers=headers)).status_code == 200
    async with database.transaction() as connection:
        other = await clients.rotate(connection, client_id)
    async with started(database_uri, tmp_path, host="0.0.0.0") as client:  # noqa: S104
        assert (await client.get(LIST, headers=headers)).status_code == 401
        assert (await client.get(LIST, headers=credentials(client_id, other))).status_code == 200


async def test_configured_client_exists_after_the_start_with_the_configured_secret_alone(
    database_uri: str, tmp_path: Path
) -> None:
    client_id = f"client-{uuid.uuid4().hex}"
    for secret in ("first", "second", "second"):
        async with started(database_uri, tmp_path, client_id=client_id, client_secret=secret) as client:
            assert (await client.get(LIST, headers=credentials(client_id, secret))).status_code == 200
    async with started(database_uri, tmp_path) as client:
        assert (await client.get(LIST, headers=credentials(client_id, "first"))).status_code == 401
        assert (await client.get(LIST, headers=credentials(client_id, "second"))).status_code == 200


@pytest.mark.parametrize(("client_id", "secret"), [("only", None), (None, "only")])
def test_half_a_client_is_refused_at_start(client_id: str | None, secret: str | None) -> None:
    with pytest.raises(ConfigurationError, match="belong together"):
        Settings(client_id=client_id, client_secret=secret)


def test_a_comma_too_many_allows_no_folder_and_a_part_of_a_path_is_refused() -> None:
    """`/music,` allowed the worker's own folder too, which is where an empty path leads."""
    assert Settings(fetch_file_roots="/music,").fetch_file_roots == (Path("/music"),)
    with pytest.raises(ConfigurationError, match="must be a whole path"):
        Settings(fetch_file_roots="music")


async def test_without_a_database_the_service_lives_and_answers_503(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It did not even start."""
    monkeypatch.setattr(main, "SETTLE_WITHIN_S", 0.1)
    nowhere = f"postgresql://user:password@127.0.0.1:{free_port()}/none"
    async with started(nowhere, tmp_path, client_id="c", client_secret="s") as client, asyncio.timeout(10):
        assert (await client.get("/live")).status_code == 200
        assert (await client.get("/api/v1/healthcheck")).status_code == 200
        ready = await client.get("/ready")
        assert (ready.status_code, ready.json()["database"]) == (503, False)
        for path in (LIST, f"/api/v1/classifier/batches/{uuid.uuid4()}"):
            answer = await client.get(path, headers=credentials("c", "s"))
            assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
            assert answer.json()["info"]["errorCode"] == "postgres_error"
        assert (await client.get(LIST)).status_code == 401


async def test_service_that_started_before_its_tables_existed_lets_its_client_in_once_they_do(
    postgres: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(main, "SETTLE_WITHIN_S", 0.1)
    uri = await asyncio.to_thread(postgres.create_database)
    headers = credentials("c", "s")
    async with started(uri, tmp_path, client_id="c", client_secret="s") as client:
        assert (await client.get(LIST, headers=headers)).status_code == 503
        assert (await client.get("/ready")).status_code == 503
        await asyncio.to_thread(upgrade_schema, uri)
        for _ in range(400):
            if (await client.get("/ready")).status_code == 200:
                break
            await asyncio.sleep(0.05)
        assert (await client.get(LIST, headers=headers)).status_code == 200


async def test_revoked_client_is_shut_out_at_once(database_uri: str, database: Database, tmp_path: Path) -> None:
    client_id = f"client-{uuid.uuid4().hex}"
    async with database.transaction() as connection:
        secret = await clients.add(connection, client_id)
    async with started(database_uri, tmp_path) as client:
        assert (await client.get(LIST, headers=credentials(client_id, secret))).status_code == 200
        async with database.transaction() as connection:
            await clients.revoke(connection, client_id)
        assert (await client.get(LIST, headers=credentials(client_id, secret))).status_code == 401
