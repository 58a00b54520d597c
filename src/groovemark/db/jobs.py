"""Jobs and their leases. Only the database's clock counts; whoever holds the token may write."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

FINAL_STATES = frozenset({"succeeded", "failed", "cancelled"})


class LeaseLost(Exception):
    """Another worker has the job now: whatever this one still wanted to write is refused."""


@dataclass(frozen=True, slots=True)
class Claim:
    """The right to work on a job until the lease ends."""

    job_id: uuid.UUID
    token: uuid.UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class JobStatus:
    state: str
    attempt: int
    is_leased: bool
    """Whether a worker holds a lease that has not run out."""


async def create(connection: AsyncConnection, *, kind: str, catalog_id: int) -> uuid.UUID:
    job_id = uuid.uuid4()
    await connection.execute(
        text("INSERT INTO job (id, kind, catalog_id) VALUES (:id, :kind, :catalog_id)"),
        {"id": job_id, "kind": kind, "catalog_id": catalog_id},
    )
    return job_id


async def discard(connection: AsyncConnection, job_id: uuid.UUID) -> None:
    """A job that was created and is not wanted after all."""
    await connection.execute(text("DELETE FROM job WHERE id = :id"), {"id": job_id})


async def catalog_of(connection: AsyncConnection, job_id: uuid.UUID) -> int:
    found = await connection.execute(text("SELECT catalog_id FROM job WHERE id = :id"), {"id": job_id})
    return int(found.scalar_one())


async def claim(connection: AsyncConnection, job_id: uuid.UUID, *, lease_s: float) -> Claim | None:
    """Take the job if it is queued, or running under a lease that has run out."""
    found = await connection.execute(
        text("""
            UPDATE job SET state = 'running', attempt = attempt + 1, lease_token = gen_random_uuid(),
                   lease_until = clock_timestamp() + make_interval(secs => :lease_s),
                   heartbeat_at = clock_timestamp(), started_at = coalesce(started_at, clock_timestamp())
            WHERE id = :id AND (state = 'queued' OR (state = 'running' AND lease_until < clock_timestamp()))
            RETURNING lease_token, attempt
        """),
        {"id": job_id, "lease_s": lease_s},
    )
    row = found.mappings().one_or_none()
    return None if row is None else Claim(job_id, row["lease_token"], row["attempt"])


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
    """Give the job back unfinished, as a stopping worker does: the attempt is not spent."""
    await connection.execute(
        text("""
            UPDATE job SET state = 'queued', attempt = attempt - 1, lease_token = NULL, lease_until = NULL
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
