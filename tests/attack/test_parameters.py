"""Whatever stands in a path or a query, the service answers and does not fall."""

from __future__ import annotations

import asyncio
import base64
import json
import uuid
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from groovemark.db import batches, clients, items
from groovemark.db.batches import NewBatch, NewUpload
from groovemark.db.items import NewItem
from groovemark.db.session import Database, create_engine
from groovemark.paging import encode_cursor
from tests.attack.target import Target

PATHS = [
    "/api/v1/genre/list",
    "/api/v1/genre/title-list",
    "/api/v1/classifier/batches",
    "/api/v1/classifier/batches/{batch_id}",
    "/api/v1/classifier/batches/{batch_id}/items",
    "/api/v1/classifier/batches/{batch_id}/items/{position}/segments",
    "/api/v1/classifier/batches/{batch_id}/errors",
    "/api/v1/classifier/batches/{batch_id}/errors/by-code",
    "/api/v1/classifier/batches/{batch_id}/events",
    "/api/v1/classifier/batches/{batch_id}/results",
    "/api/v1/classifier/batches/{batch_id}/results.{file_format}",
    "/api/v1/webhooks",
    "/api/v1/webhooks/{webhook_id}",
]
ODD = ["\0", "\ud800", "é\u202e", "9" * 5000, "-1", str(2**31), str(2**63), str(2**64), "1e9", "NaN", "", " ", "%", "'"]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text() | st.sampled_from(ODD),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=2),
    max_leaves=4,
)
NUMBERS = st.sampled_from([-(2**63), -2, -1, 0, 2**31 - 1, 2**31, 2**53, 2**63 - 1, 2**63])
CURSORS = st.one_of(
    JSON.map(lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).decode().rstrip("=")),
    NUMBERS.map(encode_cursor),
    st.tuples(st.text(st.characters(exclude_categories=["Cs"])), NUMBERS).map(lambda key: encode_cursor(*key)),
    st.uuids().map(encode_cursor),
    st.tuples(st.datetimes(timezones=st.timezones() | st.none()) | st.sampled_from(["", "1e9"]), st.uuids()).map(
        lambda key: encode_cursor(*key)
    ),
    st.sampled_from(["0001-01-01T00:00:00+14:00", "9999-12-31T23:59:59-12:00", "2026-W01"]).map(
        lambda time: encode_cursor(time, uuid.UUID(int=1))
    ),
)
TEXTS = st.text(max_size=30) | st.sampled_from(ODD)
VALUES = {
    "limit": st.integers().map(str) | TEXTS,
    "after": CURSORS | TEXTS,
    "state": st.sampled_from(["pending", "failed"]) | TEXTS,
    "severity": st.sampled_from(["warning", "error"]) | TEXTS,
    "genre": st.sampled_from(["pop", "METAL"]) | TEXTS,
    "task": st.just("genre") | TEXTS,
}
PARAMETERS = st.fixed_dictionaries({}, optional=VALUES)


@pytest.fixture(scope="module")
def client(target: Target) -> Iterator[httpx.Client]:
    with target.client() as client:
        yield client


@pytest.fixture(scope="module")
def batch_id(target: Target) -> str:
    """A batch with items that no worker has touched."""

    async def create() -> uuid.UUID:
        database = Database(create_engine(target.database_uri, pool_size=1))
        async with database.transaction() as connection:
            caller = await clients.authenticate(connection, target.client_id, target.secret)
            assert caller is not None
            made = await batches.create(
                connection, NewBatch(caller.catalog_id, caller.client_id, "audio", "genre", "reject", None, None)
            )
            await batches.add_uploads(connection, made, [NewUpload("files", "a.wav", "0" * 64, 1, "wav")])
            await items.append(connection, made, [NewItem(f"{number}.wav", None, 0) for number in range(3)])
        await database.close()
        return made

    return str(asyncio.run(create()))


def encoded(parameters: dict[str, str]) -> str:
    """As bytes that httpx would not send: lone surrogates too."""
    pairs = []
    for name, value in parameters.items():
        pairs.append(name + "=" + "".join(f"%{byte:02x}" for byte in value.encode("utf-8", "surrogatepass")))
    return "&".join(pairs)


def test_every_route_with_parameters_is_attacked(client: httpx.Client) -> None:
    paths: dict[str, Any] = client.get("/openapi.json").json()["paths"]
    reading = {path for path, methods in paths.items() if "get" in methods and methods["get"].get("parameters")}
    assert reading == set(PATHS)
    declared = {
        parameter["name"]
        for path in reading
        for parameter in paths[path]["get"]["parameters"]
        if parameter["in"] == "query"
    }
    assert declared == set(VALUES)


@pytest.mark.parametrize("path", PATHS)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(parameters=PARAMETERS, identity=st.none() | TEXTS, file_format=st.sampled_from(["csv", "jsonl"]) | TEXTS)
def test_no_parameter_makes_a_route_fail(
    client: httpx.Client,
    batch_id: str,
    path: str,
    parameters: dict[str, str],
    identity: str | None,
    file_format: str,
) -> None:
    name = batch_id if identity is None else identity
    chosen = {"batch_id": name, "webhook_id": name, "file_format": file_format, "position": identity or "0"}
    for name, value in chosen.items():
        path = path.replace(f"{{{name}}}", encoded({"": value})[1:])
    with client.stream("GET", f"{path}?{encoded(parameters)}") as answer:  # events go on for as long as the batch
        assert answer.status_code in (200, 404, 422), answer.url
        assert answer.headers["content-type"] != "text/html"


@pytest.mark.parametrize(
    "after",
    [
        "!",
        "é",
        "a",
        "====",
        base64.urlsafe_b64encode(b"[" * 3000).decode(),
        base64.urlsafe_b64encode(b'["\\ud800", 1]').decode(),
        base64.urlsafe_b64encode(b"[1e400]").decode(),
        base64.urlsafe_b64encode(b"[true]").decode(),
        encode_cursor(2**63),
        encode_cursor("\0", 1),
        encode_cursor("one too few"),
        encode_cursor("pop", 1, 2),
        "A" * 20_000,
    ],
)
def test_forged_cursor_is_refused_by_every_list(client: httpx.Client, after: str) -> None:
    for path in ("/api/v1/classifier/batches", "/api/v1/genre/title-list?genre=pop&limit=1"):
        answer = client.get(path, params={**httpx.QueryParams(path.partition("?")[2]), "after": after})
        assert answer.status_code == 422, (path, answer.text)


@pytest.mark.parametrize("number", [-1, 0, 2**31 - 1, 2**31, 2**63 - 1])
def test_cursor_beyond_any_position_leads_to_an_empty_page(client: httpx.Client, batch_id: str, number: int) -> None:
    for end in ("items", "errors"):
        answer = client.get(f"/api/v1/classifier/batches/{batch_id}/{end}", params={"after": encode_cursor(number)})
        assert answer.status_code == 200, (end, answer.text)


def test_cursor_of_a_title_as_long_as_titles_may_be_is_accepted(client: httpx.Client) -> None:
    """A title of 1,024 control characters made a cursor of more characters than were accepted."""
    after = encode_cursor("\x01" * 1024, 2**63 - 1)
    answer = client.get("/api/v1/genre/title-list", params={"genre": "pop", "limit": 1, "after": after})
    assert answer.status_code == 200, answer.text


@pytest.mark.parametrize("limit", ["0", "-1", "1001", "1.5", "99999999999999999999", "one", ""])
def test_limit_out_of_range_is_refused(client: httpx.Client, limit: str) -> None:
    assert client.get("/api/v1/classifier/batches", params={"limit": limit}).status_code == 422
