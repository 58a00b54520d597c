"""How much is waiting for the workers, and how fast it has become less of late."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

BYTES_AN_ITEM = 1024 * 1024
"""What a CSV, or a zip that nobody has opened, is taken for: about as much work as one audio file of that size."""
WINDOW_S = 60


@dataclass(frozen=True, slots=True)
class Backlog:
    """Waiting items by client, and items a second over all; None while nothing is known of that."""

    waiting: Mapping[str, int]
    rate_per_s: float | None


async def read(connection: AsyncConnection) -> Backlog:
    """Costs as much as there are unfinished batches and such that ended a moment ago, however large they are."""
    waiting = await connection.execute(
        text("""
            SELECT client_id, sum(items_total - items_succeeded - items_failed - items_cancelled
                + CASE WHEN is_prepared THEN 0 ELSE ceil(uncounted_bytes / CAST(:bytes AS float8)) END)::bigint AS total
            FROM batch WHERE finished_at IS NULL AND state IN ('queued', 'running') GROUP BY client_id
        """),
        {"bytes": BYTES_AN_ITEM},
    )
    # Each batch's own average rate, for the part of the last minute in which it ran.
    rate = await connection.scalar(
        text("""
            SELECT sum(done / greatest(ran_s, 0.001) * ran_lately_s) / greatest(max(ago_s), 1)
            FROM (
                SELECT CASE WHEN kind = 'audio' THEN items_succeeded + items_failed - ended_before
                            WHEN finished_at IS NULL THEN 0
                            ELSE ceil(uncounted_bytes / CAST(:bytes AS float8)) END AS done,
                       extract(epoch FROM ended_at - started_at)::float8 AS ran_s,
                       extract(epoch FROM ended_at - lately)::float8 AS ran_lately_s,
                       extract(epoch FROM now() - lately)::float8 AS ago_s
                FROM batch, make_interval(secs => :window_s) AS a_while, coalesce(finished_at, now()) AS ended_at,
                     greatest(started_at, now() - a_while) AS lately
                WHERE started_at < now() AND (finished_at IS NULL OR finished_at > now() - a_while)
            ) AS run
        """),
        {"bytes": BYTES_AN_ITEM, "window_s": float(WINDOW_S)},
    )
    return Backlog({row.client_id: int(row.total) for row in waiting}, float(rate) if rate else None)


def items_of(batch: RowMapping) -> int:
    """How many items a batch that was queued a moment ago adds."""
    uncounted = 0 if batch["is_prepared"] else -(-batch["uncounted_bytes"] // BYTES_AN_ITEM)
    return int(batch["items_total"] - batch["items_cancelled"] - batch["ended_before"] + uncounted)
