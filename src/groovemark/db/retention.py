"""What nobody needs any more, and what was forgotten: found by the database's clock, removed in small transactions."""

from __future__ import annotations

import uuid
from collections.abc import Sequence

import asyncpg
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.lifecycle import BATCH_ENDED, DELIVERY, JOB_ENDED, before

_SWEEP = "44, 1"
_UPKEEP = "44, 2"
"""Advisory locks."""
ROWS_AT_ONCE = 10_000


async def lead(connection: asyncpg.Connection) -> bool:
    """Whether this connection is the one whose process sees to upkeep, until it closes."""
    return bool(await connection.fetchval(f"SELECT pg_try_advisory_lock({_UPKEEP})"))


async def leads(connection: asyncpg.Connection) -> bool:
    """Whether it still does. Raises where the connection is lost."""
    return bool(
        await connection.fetchval(
            "SELECT EXISTS (SELECT FROM pg_locks WHERE locktype = 'advisory' AND pid = pg_backend_pid() AND granted)"
        )
    )


async def hold_sweep(connection: AsyncConnection) -> None:
    """Until the transaction ends no object leaves the store, unless it has already; any number may hold it."""
    await connection.execute(text(f"SELECT pg_advisory_xact_lock_shared({_SWEEP})"))


async def begin_sweep(connection: AsyncConnection) -> None:
    """Until the transaction ends nobody refers to further objects; what `unreferred` then says stays true."""
    await connection.execute(text(f"SELECT pg_advisory_xact_lock({_SWEEP})"))


async def unreferred(connection: AsyncConnection, sha256s: Sequence[str]) -> list[str]:
    """Those that no upload or result file needs; the uploads of batches that gave up theirs do not count."""
    found = await connection.execute(
        text("""
            SELECT sha256 FROM unnest(CAST(:sha256s AS text[])) AS stored (sha256)
            WHERE NOT EXISTS (SELECT FROM result_file WHERE result_file.sha256 = stored.sha256)
              AND NOT EXISTS (
                SELECT FROM upload JOIN batch ON batch.id = batch_id
                WHERE upload.sha256 = stored.sha256 AND uploads_removed_at IS NULL)
        """),
        {"sha256s": list(sha256s)},
    )
    return [row.sha256 for row in found]


async def give_up_uploads(connection: AsyncConnection, *, after_days: float) -> int:
    """Batches that ended so long ago need their uploads no more; the rows stay as history."""
    found = await connection.execute(
        text("""
            UPDATE batch SET uploads_removed_at = clock_timestamp(), revision = revision + 1
            WHERE state = ANY(:ended) AND uploads_removed_at IS NULL
              AND finished_at < clock_timestamp() - make_interval(secs => :seconds)
        """),
        {"ended": sorted(BATCH_ENDED), "seconds": _seconds(after_days)},
    )
    return int(found.rowcount)


async def abandoned(connection: AsyncConnection, *, after_days: float, limit: int) -> Sequence[uuid.UUID]:
    """Open batches to which nothing was added for so long, locked until the transaction ends."""
    found = await connection.execute(
        text("""
            SELECT id FROM batch
            WHERE state = 'open' AND greatest(
                created_at, (SELECT max(upload.created_at) FROM upload WHERE batch_id = batch.id)
            ) < clock_timestamp() - make_interval(secs => :seconds)
            LIMIT :limit FOR UPDATE SKIP LOCKED
        """),
        {"seconds": _seconds(after_days), "limit": limit},
    )
    return [row.id for row in found]


async def expired(connection: AsyncConnection, *, after_days: float, limit: int) -> Sequence[uuid.UUID]:
    """Batches that ended so long ago, the oldest first."""
    found = await connection.execute(
        text("""
            SELECT id FROM batch
            WHERE finished_at < clock_timestamp() - make_interval(secs => :seconds) AND state = ANY(:ended)
            ORDER BY finished_at LIMIT :limit
        """),
        {"seconds": _seconds(after_days), "ended": sorted(BATCH_ENDED), "limit": limit},
    )
    return [row.id for row in found]


async def remove_batch(connection: AsyncConnection, batch_id: uuid.UUID, *, after_days: float) -> bool:
    """All of an expired batch at once, so that who reads it sees all of it or nothing; its tracks and labels stay.

    False where it is no longer expired. Jobs are locked before the batch, as everywhere.
    """
    found = await connection.execute(
        text("""
            SELECT id FROM job
            WHERE batch_id = :id OR id IN (SELECT job_id FROM result_file WHERE batch_id = :id) ORDER BY id FOR UPDATE
        """),
        {"id": batch_id},
    )
    job_ids = [row.id for row in found]
    locked = await connection.execute(
        text("""
            SELECT id FROM batch
            WHERE id = :id AND finished_at < clock_timestamp() - make_interval(secs => :seconds)
              AND state = ANY(:ended) FOR UPDATE
        """),
        {"id": batch_id, "seconds": _seconds(after_days), "ended": sorted(BATCH_ENDED)},
    )
    if locked.first() is None:
        return False
    for table in ("prediction", "batch_item", "batch_fault", "upload", "result_file"):
        await connection.execute(text(f"DELETE FROM {table} WHERE batch_id = :id"), {"id": batch_id})  # noqa: S608
    await connection.execute(text("DELETE FROM batch WHERE id = :id"), {"id": batch_id})
    await connection.execute(text("DELETE FROM job WHERE id = ANY(:ids)"), {"ids": job_ids})
    return True


async def remove_deliveries(connection: AsyncConnection, *, after_days: float) -> int:
    """Messages to webhooks that were delivered, or given up, so long ago."""
    found = await connection.execute(
        text("""
            DELETE FROM webhook_delivery WHERE id IN (
                SELECT id FROM webhook_delivery
                WHERE state <> ALL(:undelivered)
                  AND created_at < clock_timestamp() - make_interval(secs => :seconds) LIMIT :limit)
        """),
        {"undelivered": before(DELIVERY, "delivered"), "seconds": _seconds(after_days), "limit": ROWS_AT_ONCE},
    )
    return int(found.rowcount)


async def remove_stray_jobs(connection: AsyncConnection, *, after_days: float) -> int:
    """Jobs that ended so long ago and belong to no batch: exports that were asked for anew, deliveries."""
    found = await connection.execute(
        text("""
            DELETE FROM job WHERE id IN (
                SELECT id FROM job
                WHERE state = ANY(:ended) AND batch_id IS NULL
                  AND finished_at < clock_timestamp() - make_interval(secs => :seconds)
                  AND NOT EXISTS (SELECT FROM result_file WHERE job_id = job.id)
                  AND NOT EXISTS (SELECT FROM webhook_delivery WHERE job_id = job.id AND state = ANY(:undelivered))
                LIMIT :limit)
        """),
        {
            "ended": sorted(JOB_ENDED),
            "seconds": _seconds(after_days),
            "undelivered": before(DELIVERY, "delivered"),
            "limit": ROWS_AT_ONCE,
        },
    )
    return int(found.rowcount)


def _seconds(days: float) -> float:
    return days * 86_400
