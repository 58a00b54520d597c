"""Clients that never get to the end: of their head, of their body, or of reading the answer."""

from __future__ import annotations

import asyncio
import contextlib
import socket
from collections.abc import Callable, Coroutine

from tests.attack.target import UPLOAD, Target

PAUSE_S = 0.5
GIVEN_UP_S = 0.2
FORM = "multipart/form-data; boundary=b"
START = b'--b\r\nContent-Disposition: form-data; name="files"; filename="a.wav"\r\n\r\nRIFF'

Slow = Callable[[Target, int], Coroutine[None, None, None]]


async def _drip(target: Target, head: str, start: bytes = b"") -> None:
    """A byte at a time, for ever."""
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        writer.write(head.encode() + start)
        while not reader.at_eof():
            writer.write(b"1\r\nx\r\n" if start else b"x")
            await writer.drain()
            await asyncio.sleep(PAUSE_S)
    finally:
        writer.close()


def _head(target: Target, path: str, **headers: str) -> str:
    lines = {"Host": "x", **target.credentials, **headers}
    return f"POST {path} HTTP/1.1\r\n" + "".join(f"{name}: {value}\r\n" for name, value in lines.items())


async def slow_head(target: Target, number: int) -> None:
    await _drip(target, f"GET /api/v1/genre/list HTTP/1.1\r\nHost: x\r\nX-{number}: ")


async def slow_form(target: Target, number: int) -> None:
    head = _head(target, UPLOAD, **{"Content-Type": FORM, "Transfer-Encoding": "chunked"})
    await _drip(target, head + "\r\n", _chunk(START))


async def slow_form_with_key(target: Target, number: int) -> None:
    """Each under a key of its own: were it kept in a transaction, the pool would be empty."""
    key = {"Idempotency-Key": f"slow-{target.client_id}-{number}", "Content-Type": FORM, "Transfer-Encoding": "chunked"}
    await _drip(target, _head(target, UPLOAD, **key) + "\r\n", _chunk(START))


async def slow_json(target: Target, number: int) -> None:
    headers = {"Content-Type": "application/json", "Transfer-Encoding": "chunked", "Idempotency-Key": f"j-{number}"}
    await _drip(target, _head(target, "/api/v1/classifier/batches", **headers) + "\r\n", _chunk(b"{"))


async def slow_reader(target: Target, number: int) -> None:
    """Asks for megabytes in all, and takes a few bytes a second."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.setblocking(False)
    loop = asyncio.get_running_loop()
    with connection:
        await loop.sock_connect(connection, ("127.0.0.1", target.port))
        await loop.sock_sendall(connection, b"GET /openapi.json HTTP/1.1\r\nHost: x\r\n\r\n" * 20)
        while True:
            if not await loop.sock_recv(connection, 16):
                return
            await asyncio.sleep(PAUSE_S)


async def silent(target: Target, number: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", target.port)
    try:
        await reader.read()
    finally:
        writer.close()


KINDS: tuple[Slow, ...] = (slow_head, slow_form, slow_form_with_key, slow_json, slow_reader, silent)


def _chunk(piece: bytes) -> bytes:
    return b"%x\r\n%b\r\n" % (len(piece), piece)


class Crowd:
    """So many slow clients at once, each replaced when the server gives it up."""

    def __init__(self, target: Target, count: int) -> None:
        self._target, self._count = target, count
        self.connected = self.given_up = 0
        self._complete = asyncio.Event()

    async def __aenter__(self) -> Crowd:
        self._tasks = [asyncio.create_task(self._keep(number)) for number in range(self._count)]
        await self._complete.wait()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _keep(self, number: int) -> None:
        kind = KINDS[number % len(KINDS)]
        while True:
            self.connected += 1
            if self.connected == self._count:
                self._complete.set()
            with contextlib.suppress(OSError):
                await kind(self._target, number)
            self.connected -= 1
            self.given_up += 1
            await asyncio.sleep(GIVEN_UP_S)
