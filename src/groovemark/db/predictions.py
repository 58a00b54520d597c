"""Results on their way into the tables: COPY into a temporary table, items, faults; `merging` does the rest.

Everything happens in the caller's transaction.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from io import BytesIO
from typing import NamedTuple

import asyncpg

from groovemark.db.copying import encode_integer, encode_jsonb, encode_real, encode_reals, encode_rows, encode_text
from groovemark.errors import Fault

DUPLICATE_CODE = "duplicate_id"


@dataclass(frozen=True, slots=True)
class Target:
    """Where results belong."""

    batch_id: uuid.UUID
    catalog_id: int
    task: str
    model_version_id: int


class Segments(NamedTuple):
    """What the model said of the windows of a track that has several."""

    window_s: float
    starts_s: Sequence[float]
    probabilities: Sequence[Sequence[float]]


class Result(NamedTuple):
    """What the model said of one item."""

    position: int
    line: int | None
    external_id: str
    title: str
    label: str
    confidence: float
    probabilities: Sequence[float]
    segments: Segments | None = None


async def open_stage(connection: asyncpg.Connection) -> None:
    """A place for results that disappears with the transaction."""
    await connection.execute("""
        CREATE TEMPORARY TABLE staged_result (
            position integer, line integer, external_id text COLLATE "C", title text, label text, confidence real,
            probabilities real[], segments jsonb
        ) ON COMMIT DROP
    """)


async def stage(connection: asyncpg.Connection, results: Iterable[Result]) -> None:
    """Add results to the stage."""
    rows = encode_rows(map(_encode, results))
    await connection.copy_to_table("staged_result", source=BytesIO(rows), columns=Result._fields, format="binary")


def _encode(result: Result) -> tuple[bytes, ...]:
    segments = None if result.segments is None else json.dumps(result.segments._asdict())
    return (
        encode_integer(result.position),
        encode_integer(result.line),
        encode_text(result.external_id),
        encode_text(result.title),
        encode_text(result.label),
        encode_real(result.confidence),
        encode_reals(result.probabilities),
        encode_jsonb(segments),
    )


async def supersede(connection: asyncpg.Connection, target: Target) -> int:
    """Where an id stands twice, the last row wins and the others become warnings; answers how many they are."""
    first = await next_fault_number(connection, target.batch_id)
    removed = await connection.fetchval(
        """
        WITH ranked AS (
            SELECT position, line, external_id,
                   last_value(line) OVER (PARTITION BY external_id ORDER BY position
                                          ROWS BETWEEN UNBOUNDED PRECEDING AND UNBOUNDED FOLLOWING) AS last_line
            FROM staged_result
            WHERE external_id IN (SELECT external_id FROM staged_result GROUP BY external_id HAVING count(*) > 1)
        ), removed AS (
            DELETE FROM staged_result USING ranked
            WHERE staged_result.position = ranked.position AND ranked.line <> ranked.last_line
            RETURNING ranked.line, ranked.external_id, ranked.last_line
        ), warned AS (
            INSERT INTO batch_fault (batch_id, number, severity, item, line, code, message)
            SELECT $1, $2 + row_number() OVER (ORDER BY line) - 1, 'warning', external_id, line, $3,
                   format('the id stands again in line %s; the last row wins', last_line)
            FROM removed RETURNING 1
        )
        SELECT count(*) FROM warned
        """,
        target.batch_id,
        first,
        DUPLICATE_CODE,
    )
    return int(removed)


async def add_faults(
    connection: asyncpg.Connection,
    batch_id: uuid.UUID,
    faults: Iterable[tuple[int | None, Fault]],
    *,
    severity: str = "error",
) -> None:
    """Record faults, each with the position of its item, if it is an item's."""
    first = await next_fault_number(connection, batch_id)
    await connection.copy_records_to_table(
        "batch_fault",
        records=(
            (
                batch_id,
                number,
                severity,
                position,
                fault.item,
                fault.line,
                fault.column,
                fault.code,
                fault.message,
            )
            for number, (position, fault) in enumerate(faults, start=first)
        ),
        columns=("batch_id", "number", "severity", "position", "item", "line", "column", "code", "message"),
    )


async def next_fault_number(connection: asyncpg.Connection, batch_id: uuid.UUID) -> int:
    return int(
        await connection.fetchval("SELECT coalesce(max(number), 0) + 1 FROM batch_fault WHERE batch_id = $1", batch_id)
    )


async def add_items(connection: asyncpg.Connection, target: Target) -> int:
    """The staged rows become succeeded items; a CSV's items are born with their results."""
    return _count(
        await connection.execute(
            """
            INSERT INTO batch_item (batch_id, position, external_id, title, line, state)
            SELECT $1, position, external_id, title, line, 'succeeded' FROM staged_result
            """,
            target.batch_id,
        )
    )


async def finish_items(connection: asyncpg.Connection, target: Target) -> int:
    """The staged items, waiting until now, have succeeded; those no longer waiting lose their staged row."""
    await connection.execute(
        """
        DELETE FROM staged_result USING batch_item
        WHERE batch_id = $1 AND batch_item.position = staged_result.position AND state <> 'pending'
        """,
        target.batch_id,
    )
    return _count(
        await connection.execute(
            """
            UPDATE batch_item SET state = 'succeeded', title = staged_result.title FROM staged_result
            WHERE batch_id = $1 AND batch_item.position = staged_result.position
            """,
            target.batch_id,
        )
    )


def _count(status: str) -> int:
    """Rows of a command tag such as `UPDATE 17`."""
    return int(status.rsplit(" ", 1)[1])
