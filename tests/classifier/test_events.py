"""Batches as they are followed live."""

from __future__ import annotations

import asyncio
import contextlib
import json
import signal
import uuid
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import psutil
import pytest

from groovemark.classifier.events import _EventStream
from groovemark.cli.db import upgrade_schema
from groovemark.db import batches, clients
from groovemark.db.batches import NewBatch
from groovemark.db.notices import Notices
from groovemark.db.session import Database, create_engine
from groovemark.db.watching import WATCHERS_MAX, Watchers
from groovemark.errors import Unavailable
from tests.attack.target import running_api
from tests.conftest import Server, Service
from tests.inputs import distinct_clips, many_fma_rows
from tests.ledger import fetch, watch
from tests.posting import post_audio, post_csv


class Event(NamedTuple):
    id: str
    name: str
    data: dict[str, Any]


def events(answer: httpx.Response) -> Iterator[Event]:
    """As an independent reader of the format sees them."""
    fields: dict[str, str] = {}
    for line in answer.iter_lines():
        if line and not line.startswith(":"):
            name, _, value = line.partition(": ")
            fields[name] = value
        elif not line and fields:
            yield Event(fields["id"], fields["event"], json.loads(fields["data"]))
            fields = {}


def follow(api: httpx.Client, path: str, **headers: str) -> contextlib.AbstractContextManager[httpx.Response]:
    return api.stream("GET", f"/classifier/batches/{path.rpartition('/')[2]}/events", headers=headers)


async def open_batch(database_uri: str, client_id: str, secret: str) -> uuid.UUID:
    """One that nobody works on, so that it stays."""
    database = Database(create_engine(database_uri, pool_size=1))
    async with database.transaction() as connection:
        caller = await clients.authenticate(connection, client_id, secret)
        assert caller is not None
        new = NewBatch(caller.catalog_id, caller.client_id, "audio", "genre", "reject", None, None)
        made = await batches.create(connection, new)
    await database.close()
    return made


@pytest.fixture
def waiting(service: Service, api: httpx.Client) -> str:
    made = open_batch(service.database_uri, api.headers["client-id"], api.headers["client-secret"])
    return str(asyncio.run(made))


def test_a_batch_is_followed_from_the_first_item_to_its_end(api: httpx.Client) -> None:
    path = post_audio(api, distinct_clips(16)).headers["location"]
    with follow(api, path) as answer:
        assert answer.headers["content-type"].startswith("text/event-stream")
        seen = list(events(answer))
    assert [event.name for event in seen] == ["progress"] * (len(seen) - 1) + ["end"]
    assert len(seen) > 1
    ids = [int(event.id) for event in seen]
    assert ids == sorted(set(ids))
    done = [event.data["succeeded"] for event in seen]
    assert done == sorted(done)
    last = seen[-1].data
    batch = watch(api, path)
    assert {name: last[name] for name in ("items", "succeeded", "failed", "cancelled")} == {
        name: batch["counts"][name] for name in ("items", "succeeded", "failed", "cancelled")
    }
    assert (last["state"], last["progress"], last["succeeded"]) == ("completed", 1.0, 16)


def test_the_end_is_told_once_and_then_there_is_nothing_to_come(api: httpx.Client) -> None:
    path = post_csv(api, many_fma_rows(3)).headers["location"]
    with follow(api, path) as answer:
        [end] = events(answer)
    assert (end.name, end.data["succeeded"], end.data["eta_s"]) == ("end", 3, None)
    with follow(api, path, **{"Last-Event-ID": end.id}) as answer:
        assert answer.status_code == 204
    for other in ("0", "-1", "9" * 30, "five", "²", str(int(end.id) + 1)):
        with follow(api, path, **{"Last-Event-ID": other.encode()}) as answer:  # type: ignore[arg-type]
            assert list(events(answer)) == [end], other


def test_only_what_is_newer_than_the_last_event_is_sent_even_if_no_notification_came(
    service: Service, api: httpx.Client, waiting: str
) -> None:
    with follow(api, waiting) as answer:
        first = next(events(answer))
    assert (first.name, first.data["state"]) == ("progress", "open")
    with follow(api, waiting, **{"Last-Event-ID": first.id}) as answer:
        fetch(service.database_uri, "UPDATE batch SET revision = revision + 1 WHERE id = $1", waiting)
        assert int(next(events(answer)).id) == int(first.id) + 1


def test_a_strangers_batch_is_not_there_and_strangers_are_not_let_in(service: Service, waiting: str) -> None:
    path = f"/classifier/batches/{waiting}/events"
    with service.client() as stranger:
        assert stranger.get(path).status_code == 404
        stranger.headers["client-secret"] = "wrong"
        assert stranger.get(path).status_code == 401
        assert stranger.get("/classifier/batches/x/events").status_code == 401


def test_streams_hold_no_connection_of_the_pool(service: Service, api: httpx.Client, waiting: str) -> None:
    with ExitStack() as opened:
        for _ in range(12):
            assert opened.enter_context(follow(api, waiting)).status_code == 200
        assert api.get(f"/classifier/batches/{waiting}").status_code == 200


def test_a_batch_that_is_deleted_ends_its_streams(service: Service, api: httpx.Client, waiting: str) -> None:
    with follow(api, waiting) as answer:
        found = events(answer)
        next(found)
        fetch(service.database_uri, "DELETE FROM batch WHERE id = $1", waiting)
        assert list(found) == []


async def test_watchers_are_counted_and_more_than_the_most_are_sent_away(database: Database, database_uri: str) -> None:
    watchers = Watchers(database, Notices(database_uri, database))
    batch_id = uuid.uuid4()
    with ExitStack() as places:
        for _ in range(WATCHERS_MAX):
            places.enter_context(watchers.watch(batch_id))
        with pytest.raises(Unavailable), watchers.watch(batch_id):
            pass
        assert len(watchers) == WATCHERS_MAX
    assert len(watchers) == 0


async def test_a_client_that_hangs_up_leaves_nothing_behind(database: Database, database_uri: str) -> None:
    name = f"client-{uuid.uuid4()}"
    async with database.transaction() as connection:
        secret = await clients.add(connection, name, catalog=name)
    batch_id = await open_batch(database_uri, name, secret)
    async with database.transaction() as connection:
        row = await batches.get(connection, batch_id)
    assert row is not None
    heard = asyncio.Event()

    async def receive() -> dict[str, Any]:
        await heard.wait()
        return {"type": "http.disconnect"}

    async def send(message: Any) -> None:
        if message.get("body"):
            heard.set()

    async with Notices(database_uri, database) as notices, Watchers(database, notices) as watchers:
        await _EventStream(watchers, row, is_seen=False)({"type": "http"}, receive, send)
        assert len(watchers) == 0


def test_a_service_that_stops_ends_its_streams_instead_of_waiting_for_them(postgres: Server, tmp_path: Path) -> None:
    uri = postgres.create_database()
    upgrade_schema(uri)
    with running_api(tmp_path, uri) as target, target.client() as client:
        path = asyncio.run(open_batch(uri, target.client_id, target.secret))
        with client.stream("GET", f"/api/v1/classifier/batches/{path}/events") as answer:
            found = events(answer)
            next(found)
            psutil.Process(target.pid).send_signal(signal.SIGTERM)
            assert list(found) == []  # and no error of a connection that was cut
        psutil.wait_procs([psutil.Process(target.pid)] if psutil.pid_exists(target.pid) else [], timeout=30)
        assert "grace" not in target.log
