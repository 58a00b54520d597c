"""Real servers on loopback, each as odd as a test needs it."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field

Speak = Callable[[bytes, asyncio.StreamWriter], Awaitable[None]]
"""What to do about the request, its body left out."""


@dataclass
class Server:
    port: int = 0
    connections: int = 0
    requests: list[bytes] = field(default_factory=list)


@asynccontextmanager
async def serving(speak: Speak, *, host: str = "127.0.0.1", tls: ssl.SSLContext | None = None) -> AsyncIterator[Server]:
    found = Server()

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        found.connections += 1
        with suppress(OSError, asyncio.IncompleteReadError):
            found.requests.append(await reader.readuntil(b"\r\n\r\n"))
            await speak(found.requests[-1], writer)
            await writer.drain()
        writer.close()

    server = await asyncio.start_server(handle, host, 0, ssl=tls)
    found.port = server.sockets[0].getsockname()[1]
    try:
        yield found
    finally:
        server.close()


def saying(answer: bytes) -> Speak:
    async def speak(request: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)

    return speak


def answer(body: bytes = b"", *, status: int = 200, **headers: str) -> bytes:
    lines = [f"HTTP/1.1 {status} x", f"content-length: {len(body)}"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    return "\r\n".join([*lines, "", ""]).encode() + body
