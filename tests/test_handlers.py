"""From exceptions to the one error body."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator

import httpx
import pytest
from fastapi import FastAPI, Query

from groovemark.errors import FAULTS_MAX, Conflict, DatabaseUnavailable, Fault, InputRejected, StorageFull
from groovemark.handlers import add_handlers

SECRET_OF_THE_CODE = "what only the code knows"


def failing_app() -> FastAPI:
    """Routes that fail, each in its way."""
    app = FastAPI()
    add_handlers(app)

    @app.get("/bug")
    async def bug() -> None:
        raise KeyError(SECRET_OF_THE_CODE)

    @app.get("/database")
    async def database() -> None:
        raise DatabaseUnavailable

    @app.get("/disk")
    async def disk() -> None:
        raise StorageFull("The service's disk is full.")

    @app.get("/state")
    async def state() -> None:
        raise Conflict("The batch is completed already.")

    @app.get("/cells")
    async def cells() -> None:
        faults = [Fault("not_a_number", "'fast' is not a number", line=line, column="tempo") for line in range(500)]
        raise InputRejected("500 cells are wrong.", faults=faults)

    @app.get("/parameter")
    async def parameter(number: int = Query()) -> None:
        del number

    return app


@pytest.fixture
async def client() -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(failing_app(), raise_app_exceptions=False)
    async with httpx.AsyncClient(transport=transport, base_url="http://test") as client:
        yield client


async def test_bug_answers_500_without_a_trace_and_logs_nothing_of_the_request(client: httpx.AsyncClient) -> None:
    answer = await client.get("/bug", headers={"client-secret": "canary"})
    assert answer.status_code == 500
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json() == {
        "type": "urn:groovemark:error:unhandled",
        "title": "Something went wrong",
        "status": 500,
        "detail": "An unexpected error happened; the service's log tells more.",
        "instance": "/bug",
        "status_code": 500,
        "info": {
            "errorCode": "unhandled_error",
            "message": "An unexpected error happened; the service's log tells more.",
        },
        "errors": [],
    }


@pytest.mark.parametrize(
    ("path", "status", "code"),
    [("/database", 503, "postgres_error"), ("/disk", 507, "storage_full"), ("/state", 409, "conflict")],
)
async def test_error_of_the_service_answers_with_its_status_and_code(
    client: httpx.AsyncClient, path: str, status: int, code: str
) -> None:
    answer = await client.get(path)
    assert (answer.status_code, answer.json()["info"]["errorCode"]) == (status, code)
    assert ("retry-after" in answer.headers) == (status == 503)


async def test_at_most_hundred_faults_are_told(client: httpx.AsyncClient) -> None:
    errors = (await client.get("/cells")).json()["errors"]
    assert len(errors) == FAULTS_MAX
    assert errors[17] == {"line": 17, "column": "tempo", "code": "not_a_number", "message": "'fast' is not a number"}


async def test_wrong_parameter_is_named_and_its_value_is_not_repeated(client: httpx.AsyncClient) -> None:
    answer = await client.get("/parameter", params={"number": SECRET_OF_THE_CODE})
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["column"] == "number"
    assert SECRET_OF_THE_CODE not in answer.text


async def test_path_with_line_breaks_forges_no_log_line(caplog: pytest.LogCaptureFixture) -> None:
    """The path went into the log as it was, line breaks and all."""
    app = failing_app()

    @app.get("/deep/{rest}")
    async def deep(rest: str) -> None:
        del rest
        raise DatabaseUnavailable

    async with httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://test") as other:
        with caplog.at_level(logging.WARNING):
            await other.get("/deep/%0d%0a2026-01-01 all is well")
    assert [record.message for record in caplog.records] == ["GET /deep/\\r\\n2026-01-01 all is well: postgres_error"]
