"""Batches as they change, for any number of watchers: each is read once for all who watch it, a few times a second."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections import defaultdict
from collections.abc import Iterator

from sqlalchemy import RowMapping
from sqlalchemy.exc import SQLAlchemyError

from groovemark.db import batches
from groovemark.db.notices import Notices
from groovemark.db.session import Database
from groovemark.errors import DatabaseUnavailable, Unavailable

WATCHERS_MAX = 1_000
PAUSE_S = 0.25
"""Changes that come faster are told together."""
READ_ANYWAY_S = 2.0
"""A notification may be lost with its connection, and how far a CSV has been read is not worth one."""


class Watch:
    """One watcher's view of a batch: the newest row it has not seen."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()
        self._row: RowMapping | None = None
        self._seen: tuple[int, float | None] | None = None
        self.is_over = False
        """The batch is gone, or the process is stopping."""

    async def next(self, *, timeout_s: float) -> RowMapping | None:
        """The batch once it has changed; None after the time, or when it is over."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._changed.wait()
        self._changed.clear()
        row, self._row = self._row, None
        return row

    def tell(self, row: RowMapping) -> None:
        if self.see(row):
            self._row = row
            self._changed.set()

    def see(self, row: RowMapping) -> bool:
        """Whether the row is news to the watcher; it is none from now on."""
        read = row["job_progress"] if row["kind"] == "csv" else None
        seen, self._seen = self._seen, (row["revision"], read)
        return seen != self._seen

    def end(self) -> None:
        self.is_over = True
        self._changed.set()


class Watchers:
    """Reads all batches that have changed by one query for all who watch."""

    def __init__(self, database: Database, notices: Notices) -> None:
        self._database = database
        self._watches: defaultdict[uuid.UUID, set[Watch]] = defaultdict(set)
        self._count = 0
        self._due: set[uuid.UUID] = set()
        self._is_due = asyncio.Event()
        self._is_stopping = False
        self._reader: asyncio.Task[None] | None = None
        notices.on_change = self._batch_changed

    async def __aenter__(self) -> Watchers:
        self._reader = asyncio.create_task(self._read())
        return self

    async def __aexit__(self, *_: object) -> None:
        self.stop()
        if self._reader is not None:
            self._reader.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self._reader

    def __len__(self) -> int:
        return self._count

    def stop(self) -> None:
        """Let all watchers go: a process that ends would wait for them."""
        self._is_stopping = True
        for watches in self._watches.values():
            for watch in watches:
                watch.end()

    @contextlib.contextmanager
    def watch(self, batch_id: uuid.UUID) -> Iterator[Watch]:
        """Raises Unavailable when there are too many watchers, or the process is stopping."""
        if self._is_stopping or self._count >= WATCHERS_MAX:
            raise Unavailable("Too many batches are being watched here; try again in a moment, or ask for the batch.")
        watch = Watch()
        self._count += 1
        self._watches[batch_id].add(watch)
        self._batch_changed(batch_id)
        try:
            yield watch
        finally:
            self._count -= 1
            self._watches[batch_id].discard(watch)
            if not self._watches[batch_id]:
                del self._watches[batch_id]

    def _batch_changed(self, batch_id: uuid.UUID) -> None:
        if batch_id in self._watches:
            self._due.add(batch_id)
            self._is_due.set()

    async def _read(self) -> None:
        loop = asyncio.get_running_loop()
        read_all_at = loop.time() + READ_ANYWAY_S
        while True:
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout_at(read_all_at):
                    await self._is_due.wait()
            due, self._due = self._due, set()
            self._is_due.clear()
            if loop.time() >= read_all_at:
                due, read_all_at = set(self._watches), loop.time() + READ_ANYWAY_S
            if due:
                await self._read_now(due)
                await asyncio.sleep(PAUSE_S)

    async def _read_now(self, batch_ids: set[uuid.UUID]) -> None:
        try:
            async with self._database.transaction() as connection:
                rows = await batches.get_all(connection, list(batch_ids))
        except (DatabaseUnavailable, SQLAlchemyError):
            return  # the next reading of all finds out what was missed
        for row in rows:
            for watch in self._watches.get(row["id"], ()):
                watch.tell(row)
        for batch_id in batch_ids - {row["id"] for row in rows}:
            for watch in self._watches.get(batch_id, ()):
                watch.end()
