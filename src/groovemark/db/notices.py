"""Waiting for batches without holding a pooled connection: one LISTEN connection a process wakes futures by id."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections import defaultdict
from collections.abc import Callable

import asyncpg

from groovemark.db import batches
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.db.session import Database, connect
from groovemark.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

POLL_EVERY_S = 1.0


class Notices:
    """Tells waiting requests that their batch has come to its end, and `on_change` that something of a batch changed.

    A notification can be lost with the connection, so once a second one grouped query asks for all waiting ids;
    whoever gives `on_change` asks for itself.
    """

    def __init__(self, uri: str, database: Database) -> None:
        self._uri = uri
        self._database = database
        self._waiting: defaultdict[uuid.UUID, set[asyncio.Future[None]]] = defaultdict(set)
        self.on_change: Callable[[uuid.UUID], None] = lambda _: None
        self._connection: asyncpg.Connection | None = None
        self._poller: asyncio.Task[None] | None = None

    async def __aenter__(self) -> Notices:
        self._poller = asyncio.create_task(self._poll())
        return self

    async def __aexit__(self, *_: object) -> None:
        if self._poller is not None:
            self._poller.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._poller
        if self._connection is not None:
            await self._connection.close(timeout=1)

    async def wait(self, batch_id: uuid.UUID, *, timeout_s: float) -> None:
        """Return when the batch has ended or the time is over, whichever comes first."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting[batch_id].add(ended)
        try:
            with contextlib.suppress(DatabaseUnavailable):  # the poll finds out when the database is back
                await self._wake_ended([batch_id])  # it may have ended before we listened
            async with asyncio.timeout(timeout_s):
                await ended
        except TimeoutError:
            return
        finally:
            self._waiting[batch_id].discard(ended)
            if not self._waiting[batch_id]:
                del self._waiting[batch_id]

    def _wake(self, batch_id: uuid.UUID) -> None:
        for ended in self._waiting.get(batch_id, ()):
            if not ended.done():
                ended.set_result(None)

    def _heard(self, _connection: object, _pid: int, _channel: str, payload: object) -> None:
        name, _, state = str(payload).partition(" ")
        batch_id = uuid.UUID(name)
        self.on_change(batch_id)
        if state in BATCH_ENDED:
            self._wake(batch_id)

    async def _poll(self) -> None:
        while True:
            try:
                if self._connection is None or self._connection.is_closed():
                    self._connection = await connect(self._uri)
                    await self._connection.add_listener(batches.CHANNEL, self._heard)
                if self._waiting:
                    await self._wake_ended(list(self._waiting))
            except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, DatabaseUnavailable) as error:
                logger.warning("cannot listen for finished batches, trying again: %s", error)
            await asyncio.sleep(POLL_EVERY_S)

    async def _wake_ended(self, batch_ids: list[uuid.UUID]) -> None:
        async with self._database.transaction() as connection:
            for batch_id in await batches.finished_among(connection, batch_ids):
                self._wake(batch_id)
