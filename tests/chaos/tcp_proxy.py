"""A TCP proxy in front of PostgreSQL that cuts a connection after a COMMIT has been carried out and before its answer.

It reads the protocol (PostgreSQL 18 documentation, chapter 54) as far as it must: the untyped messages of the start,
then typed ones, of which a simple query of COMMIT matters, and of the server's answers CommandComplete.
"""

from __future__ import annotations

import asyncio
import contextlib
import struct
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field

SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST = 80_877_103, 80_877_104, 80_877_102
HEAD = struct.Struct("!cI")
_LENGTH = struct.Struct("!I")


@dataclass
class CommitProxy:
    """`should_cut` is asked at every COMMIT of what its transaction said before."""

    host: str
    port: int
    should_cut: Callable[[str], bool] = lambda _: False
    cuts: int = 0
    listening_port: int = 0
    _loop: asyncio.AbstractEventLoop = field(default_factory=asyncio.new_event_loop)

    def _run(self, ready: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)

        async def listen() -> None:
            server = await asyncio.start_server(self._serve, "127.0.0.1", 0)
            self.listening_port = server.sockets[0].getsockname()[1]
            ready.set()

        self._loop.create_task(listen())
        self._loop.run_forever()

    async def _end(self) -> None:
        """Cut what is still open."""
        others = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)

    async def _serve(self, client: asyncio.StreamReader, to_client: asyncio.StreamWriter) -> None:
        try:
            server, to_server = await asyncio.open_connection(self.host, self.port)
        except OSError:
            to_client.close()
            return
        talk = _Talk(self, client, to_client, server, to_server)
        await talk.run()


class _Talk:
    """One connection."""

    def __init__(
        self,
        proxy: CommitProxy,
        client: asyncio.StreamReader,
        to_client: asyncio.StreamWriter,
        server: asyncio.StreamReader,
        to_server: asyncio.StreamWriter,
    ) -> None:
        self._proxy = proxy
        self._client, self._to_client = client, to_client
        self._server, self._to_server = server, to_server
        self._said: list[str] = []
        self._cuts_next = False

    async def run(self) -> None:
        ways = [asyncio.ensure_future(self._requests()), asyncio.ensure_future(self._answers())]
        try:
            await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for way in ways:
                way.cancel()
                with contextlib.suppress(asyncio.CancelledError, OSError, asyncio.IncompleteReadError):
                    await way
            # Reset and not closed in order: nothing that is on its way arrives any more.
            for writer in (self._to_client, self._to_server):
                writer.transport.abort()

    async def _requests(self) -> None:
        await self._start()
        while True:
            head = await self._client.readexactly(HEAD.size)
            kind, length = HEAD.unpack(head)
            body = await self._client.readexactly(length - 4)
            self._note(kind, body)
            self._to_server.write(head + body)
            await self._to_server.drain()

    async def _start(self) -> None:
        """Untyped messages until the one that names user and database."""
        while True:
            head = await self._client.readexactly(4)
            body = await self._client.readexactly(_LENGTH.unpack(head)[0] - 4)
            self._to_server.write(head + body)
            await self._to_server.drain()
            if _LENGTH.unpack(body[:4])[0] not in (SSL_REQUEST, GSS_REQUEST, CANCEL_REQUEST):
                return

    def _note(self, kind: bytes, body: bytes) -> None:
        """What a transaction says, by its statements as they are parsed."""
        if kind == b"Q":
            said = body.rstrip(b"\0").decode(errors="replace").strip()
            if said.upper().startswith("COMMIT"):
                self._cuts_next = self._proxy.should_cut("\n".join(self._said))
                self._said = []
            elif said.upper().startswith(("BEGIN", "ROLLBACK")):
                self._said = []
            else:
                self._said.append(said)
        elif kind == b"P":
            self._said.append(body.split(b"\0")[1].decode(errors="replace"))
        elif kind == b"B":
            self._said.append(body.split(b"\0")[1].decode(errors="replace"))  # a statement prepared before, by name

    async def _answers(self) -> None:
        while not await self._is_encryption_refused():
            pass
        while True:
            head = await self._server.readexactly(HEAD.size)
            kind, length = HEAD.unpack(head)
            body = await self._server.readexactly(length - 4)
            if self._cuts_next and kind == b"C" and body.startswith(b"COMMIT"):
                self._proxy.cuts += 1
                return
            self._to_client.write(head + body)
            await self._to_client.drain()

    async def _is_encryption_refused(self) -> bool:
        """The answer to a wish for encryption is a single N; anything else is the first typed message."""
        first = await self._server.readexactly(1)
        if first == b"N":
            # A notice would start the same way, but none comes before the start is over.
            self._to_client.write(first)
            await self._to_client.drain()
            return False
        rest = await self._server.readexactly(4)
        body = await self._server.readexactly(_LENGTH.unpack(rest)[0] - 4)
        self._to_client.write(first + rest + body)
        await self._to_client.drain()
        return True


@contextlib.contextmanager
def proxy(host: str, port: int) -> Iterator[CommitProxy]:
    found, ready = CommitProxy(host, port), threading.Event()
    thread = threading.Thread(target=found._run, args=(ready,), daemon=True)
    thread.start()
    ready.wait()
    yield found
    asyncio.run_coroutine_threadsafe(found._end(), found._loop).result()
    found._loop.call_soon_threadsafe(found._loop.stop)
    thread.join()
