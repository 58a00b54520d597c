"""Refusing more work than the workers can get to, before a byte of it is read."""

from __future__ import annotations

import asyncio
import math
from collections import Counter

from sqlalchemy import RowMapping

from groovemark.db import backlog
from groovemark.db.session import Database
from groovemark.errors import ClientQueueFull, QueueFull

READ_EVERY_S = 1.0
RETRY_UNKNOWN_S = 60
RETRY_MAX_S = 600


class Admission:
    """Whether there is room in the queue. The database is asked once a second; between that, this process counts."""

    def __init__(self, database: Database, *, items_max: int, client_share: float) -> None:
        self._database = database
        self._items_max = items_max
        self._client_items_max = max(1, int(items_max * client_share))
        self._waiting: Counter[str] = Counter()
        self._rate_per_s: float | None = None
        self._read_at = -math.inf
        self._reading = asyncio.Lock()

    async def check(self, client_id: str) -> None:
        """Raises QueueFull, or ClientQueueFull when it is this client alone that has enough waiting."""
        await self._read()
        total, own = self._waiting.total(), self._waiting[client_id]
        if total >= self._items_max:
            raise QueueFull(
                f"{total} items are waiting for the workers, {self._items_max} may. Nothing was stored; send it again "
                "after Retry-After.",
                retry_after_s=self._seconds_until(total, self._items_max, self._rate_per_s),
            )
        if own >= self._client_items_max:
            clients = sum(1 for waiting in self._waiting.values() if waiting > 0)
            rate = self._rate_per_s / clients if self._rate_per_s else None  # workers take turns between clients
            raise ClientQueueFull(
                f"{own} items of this client are waiting, {self._client_items_max} may. Nothing was stored; send it "
                "again after Retry-After.",
                retry_after_s=self._seconds_until(own, self._client_items_max, rate),
            )

    def add(self, batch: RowMapping) -> None:
        """A batch was queued by this process."""
        self._waiting[batch["client_id"]] += backlog.items_of(batch)

    async def _read(self) -> None:
        clock = asyncio.get_running_loop().time
        async with self._reading:
            if clock() - self._read_at < READ_EVERY_S:
                return
            async with self._database.transaction() as connection:
                found = await backlog.read(connection)
            self._waiting, self._rate_per_s = Counter(found.waiting), found.rate_per_s
            self._read_at = clock()

    @staticmethod
    def _seconds_until(waiting: int, limit: int, rate_per_s: float | None) -> int:
        """When there will be room, if the workers go on as in the last minute."""
        if not rate_per_s:
            return RETRY_UNKNOWN_S
        return min(max(math.ceil((waiting - limit + 1) / rate_per_s), 1), RETRY_MAX_S)
