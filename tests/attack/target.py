"""What attacks aim at: an API process with small limits, and a way to send it bytes that no HTTP client would."""

from __future__ import annotations

import asyncio
import socket
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import httpx
import psutil

from groovemark.db import clients
from groovemark.db.session import Database, create_engine
from tests.conftest import free_port, start_groovemark

CSV_BYTES_MAX = 300_000
AUDIO_FILE_BYTES_MAX = 100_000
AUDIO_FILES_MAX = 20
# The limit of a whole body stays where it is, so that it hides no other.
SMALL_LIMITS = {
    "CSV_BYTES_MAX": str(CSV_BYTES_MAX),
    "AUDIO_FILE_BYTES_MAX": str(AUDIO_FILE_BYTES_MAX),
    "AUDIO_FILES_MAX": str(AUDIO_FILES_MAX),
}
UPLOAD = "/api/v1/classifier/predict-batch"


@dataclass(frozen=True)
class Answer:
    """What came back on a raw connection, and how much could be sent until then."""

    status: int
    headers: httpx.Headers
    body: bytes
    sent_bytes: int


@dataclass(frozen=True)
class Target:
    """An API process without a worker."""

    port: int
    pid: int
    home: Path
    database_uri: str
    client_id: str
    secret: str

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def credentials(self) -> dict[str, str]:
        return {"client-id": self.client_id, "client-secret": self.secret}

    @property
    def log(self) -> str:
        return (self.home / "api.log").read_text()

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.address, headers=self.credentials, timeout=30)

    def stored_files(self) -> list[Path]:
        """Everything under the store, finished or not."""
        return [path for path in (self.home / "storage").rglob("*") if path.is_file()]

    def memory_bytes(self) -> int:
        return int(psutil.Process(self.pid).memory_info().rss)

    def exchange(self, head: str, body: Iterable[bytes] = (), *, timeout_s: float = 20) -> Answer:
        """Send raw bytes until they are all sent or the server hangs up, then read the answer to its end."""
        sent = 0
        with socket.create_connection(("127.0.0.1", self.port), timeout=timeout_s) as connection:
            with suppress(ConnectionError):
                connection.sendall(head.encode("latin-1"))
                for piece in body:
                    connection.sendall(piece)
                    sent += len(piece)
            received = b""
            with suppress(ConnectionError, TimeoutError):
                while piece := connection.recv(65536):
                    received += piece
                    if _is_whole(received):
                        break
        return _parse(received, sent)

    def upload(self, body: Iterable[bytes], *, boundary: str = "b", **headers: str) -> Answer:
        """A multipart body as it is, chunked, by an authenticated client."""
        lines = {
            "Host": "localhost",
            **self.credentials,
            "Prefer": "respond-async",
            "Content-Type": f"multipart/form-data; boundary={boundary}",
            "Transfer-Encoding": "chunked",
            **headers,
        }
        head = f"POST {UPLOAD} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())
        chunked = (b"%x\r\n%b\r\n" % (len(piece), piece) for piece in body if piece)
        return self.exchange(head + "\r\n", _ended(chunked))


def _ended(chunks: Iterable[bytes]) -> Iterator[bytes]:
    yield from chunks
    yield b"0\r\n\r\n"


def _is_whole(received: bytes) -> bool:
    _, end, body = received.partition(b"\r\n\r\n")
    if not end:
        return False
    answer = _parse(received, 0)
    return len(body) >= int(answer.headers.get("content-length", "1000000000"))


def _parse(received: bytes, sent: int) -> Answer:
    head, _, body = received.partition(b"\r\n\r\n")
    if not head:
        return Answer(0, httpx.Headers(), b"", sent)
    first, *lines = head.decode("latin-1").split("\r\n")
    headers = httpx.Headers([tuple(line.split(": ", 1)) for line in lines])
    return Answer(int(first.split()[1]), headers, body, sent)


def part(name: str, content: bytes, *, file_name: str | None = None, boundary: bytes = b"b") -> bytes:
    """One part of a form, with the boundary before it."""
    file = b"" if file_name is None else b'; filename="%b"' % file_name.encode()
    disposition = b'Content-Disposition: form-data; name="%b"%b' % (name.encode(), file)
    return b"--%b\r\n%b\r\n\r\n%b\r\n" % (boundary, disposition, content)


@contextmanager
def running_api(home: Path, database_uri: str, **settings: str) -> Iterator[Target]:
    """`groovemark serve` as a process, once it listens; ready or not."""
    secret = uuid.uuid4().hex
    target = Target(free_port(), 0, home, database_uri, f"attacker-{uuid.uuid4().hex}", secret)
    environment = {
        "POSTGRES_URI": database_uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(target.port),
        "CLIENT_ID": target.client_id,
        "CLIENT_SECRET": target.secret,
        **settings,
    }
    process = start_groovemark("serve", environment, home / "api.log")
    try:
        _wait_until_it_listens(target)
        yield Target(target.port, process.pid, home, database_uri, target.client_id, target.secret)
    finally:
        process.terminate()
        process.wait(30)


def _wait_until_it_listens(target: Target) -> None:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        with suppress(httpx.HTTPError):
            if httpx.get(f"{target.address}/live").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise AssertionError(f"the API did not start:\n{target.log}")


def add_client(database_uri: str, client_id: str, *, scopes: tuple[str, ...] = clients.SCOPES) -> str:
    """A client in a catalog of its own; answers its secret."""

    async def add() -> str:
        database = Database(create_engine(database_uri, pool_size=1))
        async with database.transaction() as connection:
            secret = await clients.add(connection, client_id, catalog=client_id, scopes=scopes)
        await database.close()
        return secret

    return asyncio.run(add())
