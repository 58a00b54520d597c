"""A batch of files cut into shards: jobs of a few items each, which any number of workers take in turn."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from typing import Any

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.jobs import NewJob, next_turn


async def create(connection: AsyncConnection, batch: RowMapping, *, kind: str, items_each: int) -> Sequence[NewJob]:
    """Jobs for all waiting items that are worked on for themselves; nothing where there are none."""
    first_turn = await next_turn(connection, kind, batch["client_id"])
    found = await connection.execute(
        text("""
            INSERT INTO job (id, kind, catalog_id, client_id, batch_id, first_position, last_position, turn)
            SELECT gen_random_uuid(), :kind, :catalog_id, :client_id, :batch_id, min(position), max(position),
                   :first_turn + nth
            FROM (
                SELECT position, (row_number() OVER (ORDER BY position) - 1) / :items_each AS nth
                FROM batch_item WHERE batch_id = :batch_id AND state = 'pending' AND same_as IS NULL
            ) AS item GROUP BY nth RETURNING id, turn
        """),
        {
            "kind": kind,
            "catalog_id": batch["catalog_id"],
            "client_id": batch["client_id"],
            "batch_id": batch["id"],
            "first_turn": first_turn,
            "items_each": items_each,
        },
    )
    return sorted((NewJob(row.id, row.turn) for row in found), key=lambda job: job.turn)


async def keep_metrics(connection: AsyncConnection, job_id: uuid.UUID, metrics: Mapping[str, Any]) -> None:
    """What the shard has summed up so far, in the transaction that records its items."""
    statement = text("UPDATE job SET metrics = :metrics WHERE id = :id").bindparams(bindparam("metrics", type_=JSONB))
    await connection.execute(statement, {"id": job_id, "metrics": metrics})


async def suspect(connection: AsyncConnection, job_id: uuid.UUID, *, position: int, tries: int) -> None:
    """An item is begun alone, for the so manieth time; what is recorded next acquits it."""
    statement = text("""
        UPDATE job SET metrics = coalesce(metrics, '{}') || :metrics WHERE id = :id
    """).bindparams(bindparam("metrics", type_=JSONB))
    await connection.execute(statement, {"id": job_id, "metrics": {"suspect": {"position": position, "tries": tries}}})


async def metrics(connection: AsyncConnection, batch_id: uuid.UUID) -> AsyncIterator[Mapping[str, Any]]:
    """Of all shards of a batch, in the order of their items and a few at a time: a large batch has very many."""
    found = await connection.stream(
        text("""
            SELECT metrics FROM job WHERE batch_id = :id AND metrics IS NOT NULL ORDER BY first_position, created_at, id
        """),
        {"id": batch_id},
    )
    async for row in found:
        yield row.metrics
