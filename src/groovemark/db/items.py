"""What a batch consists of: its items, as they were submitted and as they ended, with results and faults."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.lifecycle import ITEM, before
from groovemark.db.session import raw_connection


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item known before the work starts: an uploaded audio file, a member of an uploaded zip, or one to fetch."""

    external_id: str
    title: str | None
    upload_number: int | None
    member: str | None = None
    url: str | None = None


async def append(connection: AsyncConnection, batch_id: uuid.UUID, new: Iterable[NewItem]) -> int:
    """Behind the items already there; answers the first one's position. The counts are the caller's business."""
    first = int(
        await connection.scalar(
            text("SELECT coalesce(max(position) + 1, 0) FROM batch_item WHERE batch_id = :id"), {"id": batch_id}
        )
        or 0
    )
    records = [
        (batch_id, position, item.external_id, item.title, item.upload_number, item.member, item.url)
        for position, item in enumerate(new, start=first)
    ]
    raw = await raw_connection(connection)
    await raw.copy_records_to_table(
        "batch_item",
        records=records,
        columns=("batch_id", "position", "external_id", "title", "upload_number", "member", "url"),
    )
    return first


async def count(connection: AsyncConnection, batch_id: uuid.UUID) -> int:
    found = await connection.scalar(text("SELECT count(*) FROM batch_item WHERE batch_id = :id"), {"id": batch_id})
    return int(found or 0)


_SOURCE = """
    SELECT position, external_id, title, upload_number, member, url, same_as, sha256,
           coalesce(member, url, file_name) AS file
    FROM batch_item LEFT JOIN upload ON upload.batch_id = batch_item.batch_id AND upload.number = upload_number
    WHERE batch_item.batch_id = :id AND state = 'pending'
"""


async def pending(connection: AsyncConnection, batch_id: uuid.UUID, *, first: int, last: int) -> Sequence[RowMapping]:
    """The waiting items of a shard, and behind them those of the same bytes (`same_as`), wherever they stand."""
    found = await connection.execute(
        text(f"""
            {_SOURCE} AND same_as IS NULL AND position BETWEEN :first AND :last
            UNION ALL {_SOURCE} AND same_as BETWEEN :first AND :last
            ORDER BY same_as NULLS FIRST, position
        """),
        {"id": batch_id, "first": first, "last": last},
    )
    return found.mappings().all()


async def fail(connection: AsyncConnection, batch_id: uuid.UUID, positions: Sequence[int]) -> int:
    """Answers how many of the items were waiting until now."""
    found = await connection.execute(
        text("""
            UPDATE batch_item SET state = 'failed'
            WHERE batch_id = :id AND position = ANY(:positions) AND state = ANY(:before)
        """),
        {"id": batch_id, "positions": list(positions), "before": before(ITEM, "failed")},
    )
    return found.rowcount


async def wait_again(connection: AsyncConnection, batch_id: uuid.UUID) -> int:
    """The failed items wait again, and their faults are forgotten; answers how many. The counts go with them."""
    found = await connection.execute(
        text("""
            WITH again AS (
                UPDATE batch_item SET state = 'pending'
                WHERE batch_id = :id AND state = ANY(:before) RETURNING position
            ), forgotten AS (
                DELETE FROM batch_fault USING again
                WHERE batch_id = :id AND batch_fault.position = again.position AND severity = 'error'
            )
            UPDATE batch SET items_failed = items_failed - (SELECT count(*) FROM again)
            WHERE id = :id RETURNING (SELECT count(*) FROM again) AS count
        """),
        {"id": batch_id, "before": before(ITEM, "pending")},
    )
    count = int(found.scalar_one())
    # Whose equal has its result already, or never will, is worked on for itself.
    await connection.execute(
        text("""
            UPDATE batch_item SET same_as = NULL FROM batch_item equal
            WHERE batch_item.batch_id = :id AND equal.batch_id = :id AND batch_item.state = 'pending'
              AND equal.position = batch_item.same_as AND equal.state <> 'pending'
        """),
        {"id": batch_id},
    )
    return count


async def forget_faults(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    """All of a batch that begins anew."""
    await connection.execute(text("DELETE FROM batch_fault WHERE batch_id = :id"), {"id": batch_id})


async def page(
    connection: AsyncConnection, batch_id: uuid.UUID, *, state: str | None, after: int | None, limit: int
) -> Sequence[RowMapping]:
    """One page of items by position, each with its label or its first fault."""
    found = await connection.execute(
        text("""
            SELECT item.position, item.external_id, item.title, item.line, item.state, prediction.label,
                   prediction.confidence, fault.code, fault.message, fault."column"
            FROM batch_item item
            LEFT JOIN prediction USING (batch_id, position)
            LEFT JOIN LATERAL (
                SELECT code, message, "column" FROM batch_fault
                WHERE batch_id = item.batch_id AND position = item.position AND severity = 'error'
                ORDER BY number LIMIT 1
            ) fault ON item.state = 'failed'
            WHERE item.batch_id = :id AND (CAST(:state AS text) IS NULL OR item.state = :state)
              AND item.position > CAST(:after AS bigint)
            ORDER BY item.position LIMIT :limit
        """),
        {"id": batch_id, "state": state, "after": -1 if after is None else after, "limit": limit},
    )
    return found.mappings().all()


async def results(
    connection: AsyncConnection, batch_id: uuid.UUID, *, after: int | None, limit: int
) -> Sequence[RowMapping]:
    """One page of the succeeded items by position."""
    found = await connection.execute(
        text("""
            SELECT position, item.external_id, item.title, prediction.label, prediction.confidence,
                   prediction.probabilities
            FROM prediction JOIN batch_item item USING (batch_id, position)
            WHERE batch_id = :id AND position > :after ORDER BY position LIMIT :limit
        """),
        {"id": batch_id, "after": -1 if after is None else after, "limit": limit},
    )
    return found.mappings().all()


async def timeline(connection: AsyncConnection, batch_id: uuid.UUID, position: int) -> RowMapping | None:
    """A succeeded item's probabilities, and of its windows if it has several."""
    found = await connection.execute(
        text("""
            SELECT position, item.external_id, prediction.probabilities, prediction.segments
            FROM prediction JOIN batch_item item USING (batch_id, position)
            WHERE batch_id = :id AND position = :position
        """),
        {"id": batch_id, "position": position},
    )
    return found.mappings().one_or_none()


async def faults(
    connection: AsyncConnection, batch_id: uuid.UUID, *, severity: str, after: int, limit: int
) -> Sequence[RowMapping]:
    found = await connection.execute(
        text("""
            SELECT number, item, line, "column", code, message FROM batch_fault
            WHERE batch_id = :id AND severity = :severity AND number > CAST(:after AS bigint)
            ORDER BY number LIMIT :limit
        """),
        {"id": batch_id, "severity": severity, "after": after, "limit": limit},
    )
    return found.mappings().all()


async def fault_groups(
    connection: AsyncConnection, batch_id: uuid.UUID, *, severity: str, examples: int
) -> Sequence[RowMapping]:
    """(code, count, examples), the commonest first; the examples are the first faults of that code as JSON objects."""
    found = await connection.execute(
        text("""
            SELECT code, max(total) AS count,
                   jsonb_agg(jsonb_build_object('item', item, 'line', line, 'column', "column", 'code', code,
                                                'message', message) ORDER BY number) AS examples
            FROM (
                SELECT *, row_number() OVER (PARTITION BY code ORDER BY number) AS nth,
                       count(*) OVER (PARTITION BY code) AS total
                FROM batch_fault WHERE batch_id = :id AND severity = :severity
            ) AS fault WHERE nth <= :examples GROUP BY code ORDER BY count DESC, code
        """),
        {"id": batch_id, "severity": severity, "examples": examples},
    )
    return found.mappings().all()
