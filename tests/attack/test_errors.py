"""One body for every error, never a trace, and nothing that a browser would take for a page."""

from __future__ import annotations

import uuid

import httpx
import pytest
from pydantic import TypeAdapter

from groovemark.schema import Problem
from tests.attack.target import UPLOAD, Target

MARKUP = "<script>alert(1)</script>"


def assert_problem(answer: httpx.Response, status: int, code: str) -> None:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-content-type-options"] == "nosniff"
    body = answer.json()
    TypeAdapter(Problem).validate_python(body)
    assert (body["status"], body["status_code"], body["info"]["errorCode"]) == (status, status, code)
    assert body["info"]["message"] == body["detail"]
    assert body["instance"] == answer.request.url.path
    assert body["type"].startswith("urn:groovemark:error:")
    assert "Traceback" not in answer.text


def test_every_error_has_the_same_body(target: Target) -> None:
    with target.client() as client:
        file = {"csv_file": ("a.csv", b"x")}
        assert_problem(httpx.get(f"{target.address}/api/v1/genre/list"), 401, "unauthorized_error")
        assert_problem(client.get("/nosuch"), 404, "not_found")
        assert_problem(client.get("/live/"), 404, "not_found")
        assert_problem(client.get(f"/docs/assets/{MARKUP}"), 404, "not_found")
        assert_problem(client.get(f"/api/v1/classifier/batches/{uuid.uuid4()}"), 404, "not_found")
        assert_problem(client.delete("/api/v1/genre/list"), 405, "method_not_allowed")
        assert_problem(client.post(UPLOAD), 400, "malformed_request")
        assert_problem(client.post(UPLOAD, files={"csv_file": ("a.csv", b"x" * 400_000)}), 413, "too_large")
        assert_problem(client.post(UPLOAD, files={"csv_file": ("a.txt", b"x")}), 415, "file_type_error")
        assert_problem(client.post(UPLOAD, files=file, data={"other": "x"}), 422, "request_error")
        assert_problem(client.post(UPLOAD, files=file, headers={"prefer": "wait=soon"}), 422, "request_error")
        assert_problem(client.get("/api/v1/genre/title-list"), 422, "request_error")
    assert target.stored_files() == []


def test_markup_in_what_a_client_sends_is_never_served_as_a_page(target: Target) -> None:
    file_name = {"csv_file": (MARKUP, b"x")}
    with target.client() as client:
        answers = [
            client.get(f"/{MARKUP}"),
            client.get(f"/api/v1/classifier/batches/{MARKUP}"),
            client.get("/api/v1/genre/title-list", params={"genre": MARKUP}),
            client.get("/api/v1/genre/list", params={"task": MARKUP}),
            client.get("/api/v1/classifier/batches", params={"after": MARKUP}),
            client.post(UPLOAD, files=file_name),
            client.post(UPLOAD, files={MARKUP: b"x"}),
            client.post(UPLOAD, files={"csv_file": ("a.csv", b"x")}, data={"task": MARKUP}),
        ]
    for answer in answers:
        assert answer.headers["content-type"] in ("application/json", "application/problem+json")
        assert answer.headers["x-content-type-options"] == "nosniff"


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        ("/docs", "GET"),
        ("/docs/assets/swagger-ui.css", "GET, HEAD"),
        ("/api/v1/genre/list", "GET"),
        ("/api/v1/genre/title-list", "GET"),
        (UPLOAD, "POST"),
        ("/api/v1/classifier/batches", "GET, POST"),
    ],
)
def test_method_that_a_route_lacks_is_named_with_those_it_has(target: Target, path: str, allowed: str) -> None:
    """Of a path with two routes only the first one's method was named once."""
    with target.client() as client:
        for method in ("OPTIONS", "TRACE", "PUT", "PATCH", "DELETE"):
            answer = client.request(method, path)
            assert_problem(answer, 405, "method_not_allowed")
            assert answer.headers["allow"] == allowed
        assert client.head(path).status_code == (200 if "HEAD" in allowed else 405)


def test_monitors_may_ask_for_health_with_head(target: Target) -> None:
    """HEAD once answered 405 there, and some monitors use nothing else."""
    for path in ("/live", "/ready", "/api/v1/healthcheck"):
        answer = httpx.head(f"{target.address}{path}")
        assert (answer.status_code, answer.content) == (httpx.get(f"{target.address}{path}").status_code, b"")


def test_no_answer_names_the_software_behind_it(target: Target) -> None:
    for path in ("/live", "/nosuch", "/docs"):
        assert "server" not in httpx.get(f"{target.address}{path}").headers


def test_upgrade_to_a_websocket_is_an_ordinary_request(target: Target) -> None:
    answer = target.exchange(
        "GET /api/v1/genre/list HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    assert answer.status == 401
