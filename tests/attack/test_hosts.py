"""The Host header is the client's word: it changes nothing and comes back nowhere."""

from __future__ import annotations

import pytest

from tests.attack.target import Target

HOSTS = ["evil.example", "evil.example/path", "a//evil.example", "evil.example?x#y", "[", "evil.example:99999", "é e"]
FORWARDED = "X-Forwarded-Host: evil.example\r\nForwarded: host=evil.example\r\nX-Forwarded-Prefix: //evil.example\r\n"


def ask(target: Target, host: str, path: str, *, credentials: bool = True) -> tuple[int, str]:
    """Status, and everything that came back."""
    known = "".join(f"{name}: {value}\r\n" for name, value in target.credentials.items()) if credentials else ""
    head = f"GET {path} HTTP/1.1\r\nHost: {host}\r\n{known}{FORWARDED}Connection: close\r\n\r\n"
    answer = target.exchange(head)
    return answer.status, f"{answer.headers} {answer.body.decode()}"


@pytest.mark.parametrize("host", HOSTS)
def test_odd_host_is_in_no_answer_and_lets_nobody_in(target: Target, host: str) -> None:
    for path, status in (
        ("/", 307),
        ("/nosuch", 404),
        ("/docs", 200),
        ("/openapi.json", 200),
        ("/api/v1/genre/list", 200),
        ("/api/v1/classifier/batches?limit=0", 422),
    ):
        found, everything = ask(target, host, path)
        assert found == status, everything
        assert "evil" not in everything
    assert ask(target, host, "/api/v1/genre/list", credentials=False)[0] == 401


def test_path_of_another_host_is_not_followed(target: Target) -> None:
    assert ask(target, "x", "//evil.example/docs")[0] == 404
    assert ask(target, "x", "http://evil.example/live", credentials=False)[0] == 200
