"""Batches whose files the service fetches by itself."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import httpx
import pytest

from tests.conftest import REACHABLE_ADDRESS
from tests.inputs import audio_file
from tests.ledger import watch
from tests.posting import post_audio


class Library(BaseHTTPRequestHandler):
    """Files by their paths."""

    files: dict[str, bytes]
    asked: list[str]

    def do_GET(self) -> None:
        self.asked.append(self.path)
        content = self.files.get(self.path)
        self.send_response(404 if content is None else 200)
        self.send_header("content-length", str(len(content or b"")))
        self.end_headers()
        self.wfile.write(content or b"")

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002
        pass


def library(address: str, files: dict[str, bytes]) -> Iterator[tuple[str, list[str]]]:
    """Its URL, and what was asked for."""
    handler = type("Files", (Library,), {"files": files, "asked": []})
    server = ThreadingHTTPServer((address, 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://{address}:{server.server_port}", handler.asked
    server.shutdown()
    server.server_close()


@pytest.fixture
def outside() -> Iterator[tuple[str, list[str]]]:
    files = {
        "/a%20b.wav?signature=x": audio_file(title=None),
        "/tagged.wav": audio_file(title="Tagged"),
        "/page": b"<html>",
    }
    yield from library(REACHABLE_ADDRESS, files)


@pytest.fixture
def inside() -> Iterator[tuple[str, list[str]]]:
    yield from library("127.0.0.1", {"/secret.wav": audio_file()})


def test_urls_of_a_manifest_are_fetched_and_fail_alone(
    api: httpx.Client, outside: tuple[str, list[str]], inside: tuple[str, list[str]]
) -> None:
    """One of them leads to an address that nobody may reach: not one connection is made to it."""
    there, asked = outside
    manifest = (
        f"file,external_id,title\n{there}/a%20b.wav?signature=x,,\n{there}/tagged.wav,7,Titled\n{there}/page,,\n"
        f"{there}/none.wav,,\n{inside[0]}/secret.wav,,\nfile:///etc/passwd,,\ns3://bucket/a.wav,,\nsent.wav,8,Sent\n"
    )
    location = post_audio(api, {"sent.wav": audio_file()}, manifest=manifest.encode()).headers["location"]
    ended = watch(api, location)
    assert (ended["counts"]["items"], ended["counts"]["succeeded"], ended["counts"]["failed"]) == (8, 3, 5)
    found = api.get(f"{location.removeprefix('/api/v1')}/items").json()["items"]
    assert [(item["external_id"], item["state"], item["error"] and item["error"]["code"]) for item in found] == [
        ("8", "succeeded", None),
        (f"{there}/a%20b.wav", "succeeded", None),
        ("7", "succeeded", None),
        (f"{there}/page", "failed", "undecodable"),
        (f"{there}/none.wav", "failed", "url_status"),
        (f"{inside[0]}/secret.wav", "failed", "url_forbidden"),
        ("file:///etc/passwd", "failed", "url_forbidden"),
        ("s3://bucket/a.wav", "failed", "url_forbidden"),
    ]
    assert sorted(asked) == ["/a%20b.wav?signature=x", "/none.wav", "/page", "/tagged.wav"]
    assert inside[1] == []
    assert "signature" not in api.get(f"{location.removeprefix('/api/v1')}/results").text
    titles = {item["external_id"]: item["title"] for item in found}
    assert (titles[f"{there}/a%20b.wav"], titles["7"]) == ("a b", "Titled")


def test_a_manifest_alone_is_a_batch_and_one_without_urls_has_nothing_to_do(
    api: httpx.Client, outside: tuple[str, list[str]]
) -> None:
    ended = watch(api, post_audio(api, {}, manifest=f"file\n{outside[0]}/tagged.wav\n".encode()).headers["location"])
    assert (ended["state"], ended["counts"]["succeeded"]) == ("completed", 1)
    ended = watch(api, post_audio(api, {}, manifest=b"file\na.wav\n").headers["location"])
    assert (ended["state"], ended["counts"]["items"]) == ("failed", 0)
    assert "names no URL" in ended["error"]["message"]


def test_a_url_with_a_password_fails_the_batch_and_is_not_shown(api: httpx.Client) -> None:
    manifest = b"file\nhttps://name:pass-word@example.com/a.wav\n"
    location = post_audio(api, {}, manifest=manifest).headers["location"]
    ended = watch(api, location)
    assert (ended["state"], ended["counts"]["items"]) == ("failed", 0)
    assert "line 2, file" in ended["error"]["message"]
    assert "pass-word" not in str(ended) + api.get(f"{location.removeprefix('/api/v1')}/errors").text
