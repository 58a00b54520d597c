"""Jobs and their leases. Only the database's clock counts; whoever holds the token may write."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection


class LeaseLost(Exception):
    """Another worker has the job now: whatever this one still wanted to write is refused."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease ends."""

    job_id: uuid.UUID
    token: uuid.UUID
    attempt: int
    is_cancelled: bool = False
    """Whether the client had asked for the end already."""


@dataclass(frozen=True, slots=True)
class JobStatus:
    state: str
    attempt: int
    is_leased: bool
    """Whether a worker holds a lease that has not run out."""


@dataclass(frozen=True, slots=True)
class NewJob:
    """A job to be queued; the least `turn` is begun first."""

    id: uuid.UUID
    turn: int


async def create(
    connection: AsyncConnection,
    *,
    kind: str,
    catalog_id: int,
    client_id: str | None = None,
    batch_id: uuid.UUID | None = None,
) -> NewJob:
    job = NewJob(uuid.uuid4(), await next_turn(connection, kind, client_id))
    await connection.execute(
        text("""
            INSERT INTO job (id, kind, catalog_id, client_id, batch_id, turn)
            VALUES (:id, :kind, :catalog_id, :client_id, :batch_id, :turn)
        """),
        {
            "id": job.id,
            "kind": kind,
            "catalog_id": catalog_id,
            "client_id": client_id,
            "batch_id": batch_id,
            "turn": job.turn,
        },
    )
    return job


async def next_turn(connection: AsyncConnection, kind: str, client_id: str | None) -> int:
    """When a client's further job of a kind is due: after its own before, and not before what the workers have begun.

    Start-time fair queueing (Goyal et al. 1996): a client with one job does not wait for all those of another. What a
    client cancelled before it was begun does not count against it.
    """
    found = await connection.scalar(
        text("""
            SELECT greatest(
                (SELECT turn + 1 FROM job
                 WHERE client_id = :client_id AND kind = :kind AND (started_at IS NOT NULL OR state = 'queued')
                 ORDER BY turn DESC LIMIT 1),
                (SELECT max(turn) FROM job WHERE kind = :kind AND started_at IS NOT NULL), 0)
        """),
        {"client_id": client_id, "kind": kind},
    )
    return int(found or 0)


async def discard(connection: AsyncConnection, job_id: uuid.UUID) -> None:
    """A job that was created and is not wanted after all."""
    await connection.execute(text("DELETE FROM job WHERE id = :id"), {"id": job_id})


async def get(connection: AsyncConnection, job_id: uuid.UUID) -> RowMapping:
    """The job's own row."""
    found = await connection.execute(text("SELECT * FROM job WHERE id = :id"), {"id": job_id})
    return found.mappings().one()


async def claim(connection: AsyncConnection, job_id: uuid.UUID, *, token: uuid.UUID, lease_s: float) -> Claim | None:
    """Take the job if it is queued, or running under a lease that has run out. `token`: a fresh one."""
    found = await connection.execute(
        text("""
            UPDATE job SET state = 'running', attempt = attempt + 1, lease_token = :token,
                   lease_until = clock_timestamp() + make_interval(secs => :lease_s),
                   heartbeat_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp())
            WHERE id = :id AND (state = 'queued' OR (state = 'running' AND lease_until < clock_timestamp()))
            RETURNING attempt, cancel_requested
        """),
        {"id": job_id, "token": token, "lease_s": lease_s},
    )
    row = found.mappings().one_or_none()
    return None if row is None else Claim(job_id, token, row["attempt"], row["cancel_requested"])


async def status(connection: AsyncConnection, job_id: uuid.UUID) -> JobStatus | None:
    found = await connection.execute(
        text("""
            SELECT state, attempt, coalesce(lease_until > clock_timestamp(), false) AS is_leased
            FROM job WHERE id = :id
        """),
        {"id": job_id},
    )
    row = found.mappings().one_or_none()
    return None if row is None else JobStatus(row["state"], row["attempt"], row["is_leased"])


async def heartbeat(connection: AsyncConnection, held: Claim, *, lease_s: float, progress: float) -> bool:
    """Prolong the lease; answers whether the client asked to cancel. Raises LeaseLost."""
    found = await connection.execute(
        text("""
            UPDATE job SET lease_until = clock_timestamp() + make_interval(secs => :lease_s),
                   heartbeat_at = clock_timestamp(), progress = :progress
            WHERE id = :id AND lease_token = :token AND state = 'running'
            RETURNING cancel_requested
        """),
        {"id": held.job_id, "token": held.token, "lease_s": lease_s, "progress": progress},
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise LeaseLost
    return bool(row["cancel_requested"])


async def hold(connection: AsyncConnection, held: Claim) -> bool:
    """Lock the job until the transaction ends; every write of results starts here.

    Answers whether the client asked to cancel. Raises LeaseLost when the token is no longer the job's.
    """
    found = await connection.execute(
        text("""
            SELECT cancel_requested FROM job
            WHERE id = :id AND lease_token = :token AND state = 'running' FOR UPDATE
        """),
        {"id": held.job_id, "token": held.token},
    )
    row = found.mappings().one_or_none()
    if row is None:
        raise LeaseLost
    return bool(row["cancel_requested"])


async def release(connection: AsyncConnection, held: Claim) -> None:
    """Give the job back unfinished, as a stopping worker does: the attempt is not spent, and no item is blamed."""
    await connection.execute(
        text("""
            UPDATE job SET state = 'queued', attempt = attempt - 1, lease_token = NULL, lease_until = NULL,
                   metrics = metrics - 'suspect'
            WHERE id = :id AND lease_token = :token AND state = 'running'
        """),
        {"id": held.job_id, "token": held.token},
    )


async def finish(
    connection: AsyncConnection, held: Claim, state: str, *, error: Mapping[str, Any] | None = None
) -> None:
    """The end of the job, in the transaction that holds it."""
    statement = text("""
        UPDATE job SET state = :state, error = :error, finished_at = clock_timestamp(), lease_until = NULL,
               progress = CASE WHEN :state = 'succeeded' THEN 1 ELSE progress END
        WHERE id = :id
    """).bindparams(bindparam("error", type_=JSONB(none_as_null=True)))
    await connection.execute(statement, {"id": held.job_id, "state": state, "error": error})
