"""What the queue's library leaves behind and never removes."""

from __future__ import annotations

import asyncpg

KEPT_S = 86_400.0
ROWS_AT_ONCE = 10_000


async def clear(connection: asyncpg.Connection, *, kept_s: float = KEPT_S) -> int:
    """Remove old entries of the library's log and statistics, and rows it holds after a failure; answers how many.

    Rows held say nothing that the jobs do not, and a job that has not ended is queued anew.
    """
    removed = 0
    for table, condition in (
        ("pgqueuer_log", "created"),
        ("pgqueuer_statistics", "created"),
        ("pgqueuer", "status = 'failed' AND updated"),
    ):
        tag = await connection.execute(
            f"""
            DELETE FROM {table} WHERE id IN (
                SELECT id FROM {table} WHERE {condition} < clock_timestamp() - make_interval(secs => $1) LIMIT $2)
            """,  # noqa: S608  of the three above
            kept_s,
            ROWS_AT_ONCE,
        )
        removed += int(tag.rpartition(" ")[2])
    return removed
