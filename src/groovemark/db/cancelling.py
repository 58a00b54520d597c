"""The wish to cancel a batch, and what it does to the batch's jobs."""

from __future__ import annotations

import uuid

from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.batches import lock, notify
from groovemark.db.lifecycle import BATCH, JOB, before
from groovemark.errors import Conflict

CANCEL_WAIT_S = 3
LOCK_NOT_AVAILABLE = "55P03"


async def request_cancel(connection: AsyncConnection, batch_id: uuid.UUID) -> bool:
    """Jobs that wait are cancelled at once, running ones when their workers see the wish.

    Answers whether nobody works on it, so that it is for the caller to end it. Raises Conflict while the results of a
    CSV are being recorded: that holds the job, and waiting would hold a connection.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{CANCEL_WAIT_S}s'"))
    try:
        # An open batch has no jobs, and gets none while it is locked.
        running = 0 if await _lock_open(connection, batch_id) else await _cancel_jobs(connection, batch_id)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise Conflict("The results are being recorded at this moment; it is too late to cancel.") from error
        raise
    batch = await lock(connection, batch_id)
    if batch["state"] not in before(BATCH, "cancelled"):
        return False
    await connection.execute(
        text("UPDATE batch SET cancel_requested = true, revision = revision + 1 WHERE id = :id"), {"id": batch_id}
    )
    await notify(connection, batch_id)
    return not running


async def _lock_open(connection: AsyncConnection, batch_id: uuid.UUID) -> bool:
    found = await connection.execute(
        text("SELECT id FROM batch WHERE id = :id AND state = 'open' FOR UPDATE"), {"id": batch_id}
    )
    return found.first() is not None


async def _cancel_jobs(connection: AsyncConnection, batch_id: uuid.UUID) -> int:
    """Locks the jobs in a fixed order, before the batch, as workers do; answers how many are running."""
    statement = text("""
        WITH unfinished AS (
            SELECT id FROM job WHERE batch_id = :id AND state = ANY(:before) AND NOT cancel_requested
            ORDER BY id FOR UPDATE
        )
        UPDATE job SET cancel_requested = true,
               state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
               finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() ELSE finished_at END
        FROM unfinished WHERE job.id = unfinished.id RETURNING job.id
    """)
    # Once more as long as there are any: while this waited for the job that cuts a batch, it made the shards.
    while (await connection.execute(statement, {"id": batch_id, "before": before(JOB, "cancelled")})).first():
        pass
    running = await connection.scalar(
        text("SELECT count(*) FROM job WHERE batch_id = :id AND state = 'running'"), {"id": batch_id}
    )
    return int(running or 0)
