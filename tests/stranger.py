"""A server of a stranger's, on an address that the operator allows; what it does is in the path."""

from __future__ import annotations

import contextlib
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, urlsplit

from tests.inputs import audio_file

ENDLESS_S = 900


class _Answers(BaseHTTPRequestHandler):
    server: _Server

    def do_GET(self) -> None:
        url = urlsplit(self.path)
        with contextlib.suppress(OSError):
            getattr(self, f"_{url.path.strip('/').partition('/')[0]}")(parse_qs(url.query))

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def _head(self, status: int = 200, **headers: object) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), str(value))
        self.end_headers()

    def _sound(self, _: dict[str, list[str]]) -> None:
        content = audio_file("wav", 1)
        self._head(content_length=len(content))
        self.wfile.write(content)

    def _to(self, query: dict[str, list[str]]) -> None:
        self._head(int(query.get("status", ["302"])[0]), location=query["url"][0], content_length=0)

    def _loop(self, _: dict[str, list[str]]) -> None:
        self._head(302, location="/loop", content_length=0)

    def _endless(self, _: dict[str, list[str]]) -> None:
        self._head()
        while True:
            self.wfile.write(b"x" * 65_536)

    def _packed(self, _: dict[str, list[str]]) -> None:
        self._head(content_encoding="gzip")
        self.wfile.write(b"\x1f\x8b")

    def _large(self, _: dict[str, list[str]]) -> None:
        self._head(content_length=1 << 40)
        self.wfile.write(b"x")

    def _heads(self, _: dict[str, list[str]]) -> None:
        self.wfile.write(b"HTTP/1.1 200 x\r\n")
        while True:
            self.wfile.write(b"X: " + b"y" * 60_000 + b"\r\n")

    def _drip(self, _: dict[str, list[str]]) -> None:
        self._head()
        self._slowly()

    def _dripfirst(self, query: dict[str, list[str]]) -> None:
        """Once a client has hung up, everything in that folder is answered as it should be."""
        folder = self.path.rpartition("/")[0]
        if folder in self.server.left:
            return self._sound(query)
        try:
            return self._drip(query)
        finally:
            self.server.left.add(folder)

    def _slowhead(self, _: dict[str, list[str]]) -> None:
        self.wfile.write(b"HTTP/1.1 200 x\r\nX: ")
        self._slowly()

    def _slowly(self) -> None:
        deadline = time.monotonic() + ENDLESS_S
        while time.monotonic() < deadline:
            self.wfile.write(b"x")
            time.sleep(0.2)

    def _silence(self, _: dict[str, list[str]]) -> None:
        time.sleep(60)


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    left: set[str]

    def handle_error(self, *_: object) -> None:
        """Clients that hang up are what this is about."""


@contextlib.contextmanager
def stranger(host: str) -> Iterator[str]:
    """Its address."""
    server = _Server((host, 0), _Answers)
    server.left = set()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield f"http://{host}:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
