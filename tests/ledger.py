"""What the database must always say, whatever happened before."""

from __future__ import annotations

import asyncio
import time
from typing import Any

import asyncpg
import httpx

from groovemark.db.session import connect

FINAL = {"completed", "failed", "cancelled"}

_BATCHES = "batch JOIN catalog ON catalog.id = catalog_id AND catalog.name = $1"

BROKEN_PROMISES = {
    "counters equal the current labels": """
        SELECT * FROM (
            SELECT task, label, tracks FROM label_count JOIN catalog ON catalog.id = catalog_id
            WHERE name = $1 AND tracks <> 0
        ) AS counted FULL JOIN (
            SELECT task, label, count(*) AS tracks FROM current_label JOIN catalog ON catalog.id = catalog_id
            WHERE name = $1 GROUP BY 1, 2
        ) AS found USING (task, label) WHERE counted.tracks IS DISTINCT FROM found.tracks
    """,
    "a batch's counts are those of its items": f"""
        SELECT id FROM (
            SELECT batch.id, (items_total, items_succeeded, items_failed, items_cancelled) AS told,
                   (count(state_of), count(state_of) FILTER (WHERE state_of = 'succeeded'),
                    count(state_of) FILTER (WHERE state_of = 'failed'),
                    count(state_of) FILTER (WHERE state_of = 'cancelled')) AS found
            FROM {_BATCHES} LEFT JOIN (SELECT batch_id, state AS state_of FROM batch_item) AS item
            ON batch_id = batch.id GROUP BY batch.id
        ) AS both_counts WHERE told IS DISTINCT FROM found
    """,
    "every succeeded item has one prediction, no other item has any": f"""
        SELECT batch_id, position, item.state FROM {_BATCHES} JOIN batch_item item ON batch_id = batch.id
        LEFT JOIN prediction USING (batch_id, position)
        WHERE (item.state = 'succeeded') <> (prediction.label IS NOT NULL)
    """,
    "the newest prediction is the current label": f"""
        SELECT * FROM (
            SELECT DISTINCT ON (track_id, task) track_id, task, prediction.label
            FROM {_BATCHES} JOIN prediction ON batch_id = batch.id
            ORDER BY track_id, task, prediction.created_at DESC, position DESC
        ) AS newest LEFT JOIN current_label USING (track_id, task)
        WHERE newest.label IS DISTINCT FROM current_label.label
    """,
    "a listed title is its track's": """
        SELECT track_id FROM current_label JOIN track ON track.id = track_id JOIN catalog
        ON catalog.id = track.catalog_id AND name = $1
        WHERE current_label.title <> track.title OR current_label.catalog_id <> track.catalog_id
    """,
    "a failed item says why, and no other item does": f"""
        SELECT item.batch_id, item.position, item.state FROM {_BATCHES} JOIN batch_item item ON batch_id = batch.id
        LEFT JOIN (
            SELECT DISTINCT batch_id, position FROM batch_fault WHERE severity = 'error' AND position IS NOT NULL
        ) AS fault USING (batch_id, position)
        WHERE (item.state = 'failed') <> (fault.position IS NOT NULL)
    """,
    "what is of the same bytes ends the same way": f"""
        SELECT item.batch_id, item.position FROM {_BATCHES} JOIN batch_item item ON batch_id = batch.id
        JOIN batch_item equal ON equal.batch_id = item.batch_id AND equal.position = item.same_as
        WHERE item.state <> equal.state
    """,
    "items of an open batch wait": f"""
        SELECT batch.id FROM {_BATCHES} JOIN batch_item item ON batch_id = batch.id
        WHERE batch.state = 'open' AND item.state <> 'pending'
    """,
    "nobody works on an ended batch": f"""
        SELECT batch.id, job.kind, job.state FROM {_BATCHES} JOIN job ON job.batch_id = batch.id
        WHERE batch.state IN ('completed', 'failed', 'cancelled') AND job.state IN ('queued', 'running')
          AND job.kind IN ('classify', 'prepare_audio', 'classify_shard')
    """,
    "nothing of an ended batch is pending": f"""
        SELECT batch.id FROM {_BATCHES} JOIN job ON job.id = job_id
        WHERE batch.state IN ('completed', 'failed', 'cancelled') AND (
            batch.finished_at IS NULL OR job.state IN ('queued', 'running')
            OR EXISTS (SELECT FROM batch_item WHERE batch_id = batch.id AND state = 'pending'))
    """,
}


def fetch(uri: str, statement: str, *values: object) -> list[asyncpg.Record]:
    async def run() -> list[asyncpg.Record]:
        connection = await connect(uri)
        try:
            found: list[asyncpg.Record] = await connection.fetch(statement, *values)
            return found
        finally:
            await connection.close()

    return asyncio.run(run())


def broken_promises(uri: str, catalog: str) -> dict[str, list[asyncpg.Record]]:
    """What does not hold of a catalog, with the rows that show it; empty when all is well."""

    async def run() -> dict[str, list[asyncpg.Record]]:
        connection = await connect(uri)
        try:
            return {
                promise: found
                for promise, statement in BROKEN_PROMISES.items()
                if (found := await connection.fetch(f"{statement} LIMIT 5", catalog))
            }
        finally:
            await connection.close()

    return asyncio.run(run())


def watch(api: httpx.Client, batch: str, *, until: set[str] = FINAL, within_s: float = 120) -> dict[str, Any]:
    """The batch once its state is one of `until`; `batch` is its id or path."""
    deadline = time.monotonic() + within_s
    while time.monotonic() < deadline:
        found: dict[str, Any] = api.get(f"/classifier/batches/{batch.rpartition('/')[2]}").json()
        if found["state"] in until:
            return found
        time.sleep(0.03)
    raise AssertionError(f"the batch is still {found}")
