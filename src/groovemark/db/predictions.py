"""Writing results: COPY into a temporary table, then one merge, all in the caller's transaction.

Merges of one catalog wait for each other, so that equal batches posted at once cannot deadlock and the counters
always agree with the labels.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import asyncpg

from groovemark.errors import Fault

DUPLICATE_CODE = "duplicate_id"


@dataclass(frozen=True, slots=True)
class Target:
    """Where results belong."""

    batch_id: uuid.UUID
    catalog_id: int
    task: str
    model_version_id: int


@dataclass(frozen=True, slots=True)
class Result:
    """What the model said of one item. `segments`: one list of probabilities a window, for audio."""

    position: int
    line: int | None
    external_id: str
    title: str
    label: str
    confidence: float
    probabilities: Sequence[float]
    segments: Sequence[Sequence[float]] | None = None

    def record(self) -> tuple[object, ...]:
        segments = None if self.segments is None else json.dumps({"probabilities": self.segments})
        return (
            self.position,
            self.line,
            self.external_id,
            self.title,
            self.label,
            self.confidence,
            self.probabilities,
            segments,
        )


_COLUMNS = ("position", "line", "external_id", "title", "label", "confidence", "probabilities", "segments")


async def open_stage(connection: asyncpg.Connection) -> None:
    """A place for results that disappears with the transaction."""
    await connection.execute("""
        CREATE TEMPORARY TABLE staged_result (
            position integer, line integer, external_id text COLLATE "C", title text, label text, confidence real,
            probabilities real[], segments jsonb
        ) ON COMMIT DROP
    """)


async def stage(connection: asyncpg.Connection, records: Iterable[tuple[object, ...]]) -> None:
    """Add results; tuples in the order of `Result.record`."""
    await connection.copy_records_to_table("staged_result", records=records, columns=_COLUMNS)


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


async def merge(connection: asyncpg.Connection, target: Target) -> None:
    """Staged rows become tracks, predictions, current labels and counts.

    The newest prediction by `created_at` is the one that gave the current label, whichever transaction began first.
    """
    await connection.execute("SELECT pg_advisory_xact_lock(42, $1)", target.catalog_id)
    await connection.execute("ANALYZE staged_result (external_id)")
    await connection.execute(
        """
        INSERT INTO track (catalog_id, external_id, title)
        SELECT DISTINCT ON (external_id) $1::integer, external_id, title FROM staged_result
        ORDER BY external_id, position DESC
        ON CONFLICT (catalog_id, external_id) DO UPDATE SET title = excluded.title, updated_at = now()
        WHERE track.title <> excluded.title
        """,
        target.catalog_id,
    )
    await connection.execute(
        """
        CREATE TEMPORARY TABLE landed ON COMMIT DROP AS
        SELECT staged_result.*, track.id AS track_id
        FROM staged_result JOIN track ON track.catalog_id = $1 AND track.external_id = staged_result.external_id
        """.replace("$1", str(int(target.catalog_id)))  # CREATE TABLE AS takes no parameters
    )
    await connection.execute("ANALYZE landed (track_id)")
    await connection.execute(
        """
        INSERT INTO prediction (batch_id, position, track_id, model_version_id, label, confidence, probabilities,
                                segments, created_at)
        SELECT $1, position, track_id, $2, label, confidence, probabilities, segments, clock_timestamp() FROM landed
        """,
        target.batch_id,
        target.model_version_id,
    )
    await _relabel(connection, target)
    await connection.execute("DROP TABLE landed")
    await connection.execute("TRUNCATE staged_result")


async def _relabel(connection: asyncpg.Connection, target: Target) -> None:
    await connection.execute(
        """
        WITH winner AS (
            SELECT DISTINCT ON (track_id) track_id, label FROM landed ORDER BY track_id, position DESC
        ), change AS (
            SELECT label, count(*) AS tracks FROM winner GROUP BY label
            UNION ALL
            SELECT known.label, -count(*) FROM winner JOIN current_label known USING (track_id)
            WHERE known.task = $2 GROUP BY known.label
        )
        INSERT INTO label_count (catalog_id, task, label, tracks)
        SELECT $1, $2, label, sum(tracks) FROM change GROUP BY label HAVING sum(tracks) <> 0
        ON CONFLICT (catalog_id, task, label) DO UPDATE SET tracks = label_count.tracks + excluded.tracks
        """,
        target.catalog_id,
        target.task,
    )
    await connection.execute(
        """
        INSERT INTO current_label (track_id, task, catalog_id, label, title)
        SELECT DISTINCT ON (track_id) track_id, $2, $1::integer, label, title FROM landed
        ORDER BY track_id, position DESC
        ON CONFLICT (track_id, task) DO UPDATE SET label = excluded.label, title = excluded.title
        WHERE (current_label.label, current_label.title) IS DISTINCT FROM (excluded.label, excluded.title)
        """,
        target.catalog_id,
        target.task,
    )
    # A track has one title: the other tasks' listings show the new one too.
    await connection.execute(
        """
        UPDATE current_label SET title = track.title FROM landed JOIN track ON track.id = landed.track_id
        WHERE current_label.track_id = landed.track_id AND current_label.task <> $1
          AND current_label.title <> track.title
        """,
        target.task,
    )


def _count(status: str) -> int:
    """Rows of a command tag such as `UPDATE 17`."""
    return int(status.rsplit(" ", 1)[1])
