"""What the workers see to from time to time, one of them for all: nothing is kept for ever, nothing is forgotten.

Every chore is safe to run at any time and by several at once; that one process leads only saves work.
"""

from __future__ import annotations

import asyncio
import itertools
import logging
import time
from collections.abc import Awaitable, Callable, Iterator, Mapping
from dataclasses import dataclass

import asyncpg

from groovemark.classifier.ending import end_batch
from groovemark.db import idempotency, retention, workers
from groovemark.db.session import Database, raw_connection
from groovemark.errors import ServiceError
from groovemark.queue import housekeeping, queue
from groovemark.storage.base import Storage

logger = logging.getLogger(__name__)

EVERY_S = 60.0
SWEEP_EVERY_S = 3600.0
"""Looking through the whole store is dear."""
ORPHANED_AFTER_S = 3600.0
"""An object of no upload is this old before it is taken: its request may still be under way."""
ABANDONED_AFTER_S = 24 * 3600.0
"""Whoever left something half written so long ago is gone."""
FORGOTTEN_AFTER_S = 60.0
_AT_ONCE = 100


@dataclass(frozen=True)
class Upkeep:
    """What the chores need. Days are null where something is kept for ever."""

    database: Database
    storage: Storage
    lease_s: float
    uploads_kept_days: float | None
    batches_kept_days: float | None


async def keep_up(
    upkeep: Upkeep,
    open_connection: Callable[[], Awaitable[asyncpg.Connection]],
    *,
    every_s: float = EVERY_S,
    sweep_every_s: float = SWEEP_EVERY_S,
) -> None:
    """See to everything until cancelled, unless another process does; its place is taken when it ends."""
    while True:
        try:
            connection = await open_connection()
            try:
                if await retention.lead(connection):
                    await _lead(upkeep, connection, every_s=every_s, sweep_every_s=sweep_every_s)
            finally:
                connection.terminate()
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, TimeoutError) as error:
            logger.warning("upkeep: the database is not available, trying again: %s", error)
        await asyncio.sleep(every_s)


async def _lead(upkeep: Upkeep, connection: asyncpg.Connection, *, every_s: float, sweep_every_s: float) -> None:
    """As long as the connection, and with it the lead, lasts."""
    sweep_at = time.monotonic()
    while await retention.leads(connection):
        is_due = time.monotonic() >= sweep_at
        if is_due:
            sweep_at = time.monotonic() + sweep_every_s
        await run_once(upkeep, with_store=is_due)
        await asyncio.sleep(every_s)


async def run_once(upkeep: Upkeep, *, with_store: bool = True) -> Mapping[str, int]:
    """Every chore once; answers how much each of them did. One that fails is logged and left for the next time."""
    done: dict[str, int] = {}
    for name, chore in {**_CHORES, **(_STORE_CHORES if with_store else {})}.items():
        try:
            done[name] = await chore(upkeep)
        except (ServiceError, OSError) as error:
            logger.warning("upkeep: %s: %s", name, error)
        except Exception:
            logger.exception("upkeep: %s", name)
    if any(done.values()):
        logger.info("upkeep: %s", ", ".join(f"{name}: {count}" for name, count in done.items() if count))
    return done


async def cancel_abandoned(upkeep: Upkeep) -> int:
    """Batches that were opened and never started."""
    if upkeep.uploads_kept_days is None:
        return 0
    cancelled = 0
    while True:
        async with upkeep.database.transaction() as connection:
            found = await retention.abandoned(connection, after_days=upkeep.uploads_kept_days, limit=_AT_ONCE)
            for batch_id in found:
                await end_batch(connection, batch_id, "cancelled")
        cancelled += len(found)
        if len(found) < _AT_ONCE:
            return cancelled


async def give_up_uploads(upkeep: Upkeep) -> int:
    """Of batches that ended long ago; the bytes go with the next sweep of the store."""
    if upkeep.uploads_kept_days is None:
        return 0
    async with upkeep.database.transaction() as connection:
        return await retention.give_up_uploads(connection, after_days=upkeep.uploads_kept_days)


async def remove_batches(upkeep: Upkeep) -> int:
    """That ended long ago, one in a transaction."""
    if upkeep.batches_kept_days is None:
        return 0
    removed, last = 0, -1
    while removed != last:
        last = removed
        async with upkeep.database.transaction() as connection:
            found = await retention.expired(connection, after_days=upkeep.batches_kept_days, limit=_AT_ONCE)
        for batch_id in found:
            async with upkeep.database.transaction() as connection:
                removed += await retention.remove_batch(connection, batch_id, after_days=upkeep.batches_kept_days)
    return removed


async def remove_strays(upkeep: Upkeep) -> int:
    """Messages to webhooks, and jobs of no batch, that ended as long ago as batches that are removed."""
    if upkeep.batches_kept_days is None:
        return 0
    async with upkeep.database.transaction() as connection:
        deliveries = await retention.remove_deliveries(connection, after_days=upkeep.batches_kept_days)
        return deliveries + await retention.remove_stray_jobs(connection, after_days=upkeep.batches_kept_days)


async def forget_keys(upkeep: Upkeep) -> int:
    """Idempotency keys after their time."""
    async with upkeep.database.transaction() as connection:
        return await idempotency.forget_older_than(connection)


async def forget_workers(upkeep: Upkeep) -> int:
    """Workers that are dead."""
    async with upkeep.database.transaction() as connection:
        return await workers.forget_dead(connection)


async def clear_queue(upkeep: Upkeep) -> int:
    """What the queue's library leaves behind."""
    async with upkeep.database.transaction() as connection:
        return await housekeeping.clear(await raw_connection(connection))


async def queue_forgotten(upkeep: Upkeep) -> int:
    """Jobs that have not ended and that no row of the queue speaks of."""
    async with upkeep.database.transaction() as connection:
        silent_s = max(FORGOTTEN_AFTER_S, 2 * upkeep.lease_s)
        return await queue.tend(await raw_connection(connection), silent_s=silent_s)


async def sweep_halves(upkeep: Upkeep) -> int:
    """What killed processes left half written."""
    return await asyncio.to_thread(upkeep.storage.sweep, older_than_s=ABANDONED_AFTER_S)


async def sweep_orphans(upkeep: Upkeep) -> int:
    """Objects that nobody refers to."""
    removed = 0
    listed = (found.sha256 for found in upkeep.storage.objects() if found.age_s > ORPHANED_AFTER_S)
    while sha256s := await asyncio.to_thread(_some, listed):
        async with upkeep.database.transaction() as connection:
            orphans = await retention.unreferred(connection, sha256s)
        if orphans:
            removed += await _delete_orphans(upkeep, orphans)
    return removed


async def _delete_orphans(upkeep: Upkeep, sha256s: list[str]) -> int:
    """Nobody may come to refer to them between the question and the deletion."""
    async with upkeep.database.transaction() as connection:
        await retention.begin_sweep(connection)
        orphans = await retention.unreferred(connection, sha256s)
        await asyncio.to_thread(upkeep.storage.delete, orphans)
    return len(orphans)


def _some(listed: Iterator[str]) -> list[str]:
    return list(itertools.islice(listed, _AT_ONCE))


Chore = Callable[[Upkeep], Awaitable[int]]
_CHORES: Mapping[str, Chore] = {
    "forgotten jobs queued again": queue_forgotten,
    "abandoned open batches cancelled": cancel_abandoned,
    "batches whose uploads are given up": give_up_uploads,
    "batches removed": remove_batches,
    "old webhook messages and jobs removed": remove_strays,
    "idempotency keys forgotten": forget_keys,
    "dead workers forgotten": forget_workers,
    "old rows of the queue removed": clear_queue,
}
_STORE_CHORES: Mapping[str, Chore] = {
    "half uploads removed": sweep_halves,
    "files that nobody refers to removed": sweep_orphans,
}
