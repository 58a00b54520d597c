"""Files of results that a worker writes on demand."""

from __future__ import annotations

import uuid
from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection


@dataclass(frozen=True, slots=True)
class ResultFileRow:
    batch_id: uuid.UUID
    format: str
    job_state: str
    sha256: str | None
    size_bytes: int | None


async def find(connection: AsyncConnection, batch_id: uuid.UUID, file_format: str) -> ResultFileRow | None:
    found = await connection.execute(
        text("""
            SELECT result_file.batch_id, format, job.state AS job_state, sha256, size_bytes
            FROM result_file JOIN job ON job.id = result_file.job_id
            WHERE result_file.batch_id = :batch_id AND format = :format
        """),
        {"batch_id": batch_id, "format": file_format},
    )
    row = found.mappings().one_or_none()
    return None if row is None else ResultFileRow(**row)


async def request(connection: AsyncConnection, batch_id: uuid.UUID, file_format: str, *, job_id: uuid.UUID) -> bool:
    """Ask for a file; False when somebody else's request for it stands. A failed one is asked for anew."""
    found = await connection.execute(
        text("""
            INSERT INTO result_file (batch_id, format, job_id) VALUES (:batch_id, :format, :job_id)
            ON CONFLICT (batch_id, format) DO UPDATE SET job_id = excluded.job_id
            WHERE (SELECT state FROM job WHERE id = result_file.job_id) IN ('failed', 'cancelled')
            RETURNING job_id
        """),
        {"batch_id": batch_id, "format": file_format, "job_id": job_id},
    )
    return found.first() is not None


async def find_by_job(connection: AsyncConnection, job_id: uuid.UUID) -> ResultFileRow | None:
    found = await connection.execute(
        text("""
            SELECT result_file.batch_id, format, job.state AS job_state, sha256, size_bytes
            FROM result_file JOIN job ON job.id = result_file.job_id WHERE job.id = :job_id
        """),
        {"job_id": job_id},
    )
    row = found.mappings().one_or_none()
    return None if row is None else ResultFileRow(**row)


async def complete(connection: AsyncConnection, job_id: uuid.UUID, *, sha256: str, size_bytes: int) -> None:
    await connection.execute(
        text("UPDATE result_file SET sha256 = :sha256, size_bytes = :size_bytes WHERE job_id = :job_id"),
        {"job_id": job_id, "sha256": sha256, "size_bytes": size_bytes},
    )
