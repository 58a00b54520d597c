"""Batches and their uploads; `lifecycle` says which states follow which, `items` has what they consist of."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.lifecycle import BATCH, BATCH_ENDED, ITEM, before
from groovemark.errors import NotFound

CHANNEL = "groovemark_batch"
"""NOTIFY channel: the payload is the id of a batch of which something has changed, and its state."""


@dataclass(frozen=True, slots=True)
class NewUpload:
    field: str
    file_name: str
    sha256: str
    size_bytes: int
    format: str | None

    @property
    def is_uncounted(self) -> bool:
        """Whether nobody knows how many items it holds before a worker reads it."""
        return self.field == "csv_file" or self.format == "zip"


@dataclass(frozen=True, slots=True)
class NewBatch:
    catalog_id: int
    client_id: str
    kind: str
    task: str
    on_error: str
    model_requested: str | None
    model_version_id: int | None


async def create(connection: AsyncConnection, new: NewBatch) -> uuid.UUID:
    """An open batch: without files, and nobody works on it."""
    batch_id = uuid.uuid4()
    await connection.execute(
        text("""
            INSERT INTO batch (id, catalog_id, client_id, kind, task, state, on_error, model_requested,
                               model_version_id)
            VALUES (:id, :catalog_id, :client_id, :kind, :task, 'open', :on_error, :model_requested, :model_version_id)
        """),
        {
            "id": batch_id,
            "catalog_id": new.catalog_id,
            "client_id": new.client_id,
            "kind": new.kind,
            "task": new.task,
            "on_error": new.on_error,
            "model_requested": new.model_requested,
            "model_version_id": new.model_version_id,
        },
    )
    return batch_id


async def add_uploads(connection: AsyncConnection, batch_id: uuid.UUID, uploads: Sequence[NewUpload]) -> int:
    """Record the batch's further files; answers the number of the first. Call it with the batch locked."""
    first = int(
        await connection.scalar(
            text("SELECT coalesce(max(number) + 1, 0) FROM upload WHERE batch_id = :id"), {"id": batch_id}
        )
        or 0
    )
    if uploads:
        await connection.execute(
            text("""
                INSERT INTO upload (batch_id, number, field, file_name, sha256, size_bytes, format)
                VALUES (:batch_id, :number, :field, :file_name, :sha256, :size_bytes, :format)
            """),
            [
                {
                    "batch_id": batch_id,
                    "number": number,
                    "field": upload.field,
                    "file_name": upload.file_name,
                    "sha256": upload.sha256,
                    "size_bytes": upload.size_bytes,
                    "format": upload.format,
                }
                for number, upload in enumerate(uploads, start=first)
            ],
        )
        await connection.execute(
            text("UPDATE batch SET uncounted_bytes = uncounted_bytes + :bytes WHERE id = :id"),
            {"id": batch_id, "bytes": sum(upload.size_bytes for upload in uploads if upload.is_uncounted)},
        )
    return first


async def lock(connection: AsyncConnection, batch_id: uuid.UUID) -> RowMapping:
    """The batch's own row, which nobody changes before the transaction ends. Raises NotFound where it was removed."""
    found = await connection.execute(text("SELECT * FROM batch WHERE id = :id FOR UPDATE"), {"id": batch_id})
    if (row := found.mappings().one_or_none()) is None:
        raise NotFound("batch", str(batch_id))
    return row


async def stay(connection: AsyncConnection, batch_id: uuid.UUID) -> bool:
    """Whether the batch is there, which it then is until the transaction ends.

    A batch is removed whole: what was read of one that is still there afterwards was all of it.
    """
    found = await connection.execute(text("SELECT id FROM batch WHERE id = :id FOR KEY SHARE"), {"id": batch_id})
    return found.first() is not None


async def queue(connection: AsyncConnection, batch_id: uuid.UUID, job_id: uuid.UUID) -> bool:
    """It waits for a worker now, to be begun by this job. False where its state does not allow that."""
    found = await connection.execute(
        text("""
            UPDATE batch SET state = 'queued', job_id = :job_id, started_at = NULL, finished_at = NULL, error = NULL,
                   ended_before = items_succeeded + items_failed,
                   cancel_requested = false, revision = revision + 1
            WHERE id = :id AND state = ANY(:before) RETURNING id
        """),
        {"id": batch_id, "job_id": job_id, "before": before(BATCH, "queued")},
    )
    if found.first() is None:
        return False
    await notify(connection, batch_id)
    return True


async def notify(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    """Whoever watches the batch wakes when the transaction commits; its revision has grown."""
    await connection.execute(
        text("SELECT pg_notify(:channel, id || ' ' || state) FROM batch WHERE id = :id"),
        {"channel": CHANNEL, "id": batch_id},
    )


async def set_prepared(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    """Its items are all known and named; a later attempt takes them as they are."""
    await connection.execute(text("UPDATE batch SET is_prepared = true WHERE id = :id"), {"id": batch_id})


_SELECT = """
    SELECT batch.*, job.progress AS job_progress,
           extract(epoch FROM coalesce(batch.finished_at, clock_timestamp()) - batch.started_at)::float8 AS ran_s,
           model_version.name || '@' || model_version.version AS model, model_version.labels
    FROM batch LEFT JOIN job ON job.id = batch.job_id
    LEFT JOIN model_version ON model_version.id = batch.model_version_id
"""


async def find(connection: AsyncConnection, batch_id: uuid.UUID, *, catalog_id: int) -> RowMapping | None:
    found = await connection.execute(
        text(f"{_SELECT} WHERE batch.id = :id AND batch.catalog_id = :catalog_id"),
        {"id": batch_id, "catalog_id": catalog_id},
    )
    return found.mappings().one_or_none()


async def get(connection: AsyncConnection, batch_id: uuid.UUID) -> RowMapping | None:
    """Of whatever catalog; for workers."""
    found = await connection.execute(text(f"{_SELECT} WHERE batch.id = :id"), {"id": batch_id})
    return found.mappings().one_or_none()


async def get_all(connection: AsyncConnection, batch_ids: Sequence[uuid.UUID]) -> Sequence[RowMapping]:
    """Those that there are, in no order."""
    found = await connection.execute(text(f"{_SELECT} WHERE batch.id = ANY(:ids)"), {"ids": list(batch_ids)})
    return found.mappings().all()


async def find_by_job(connection: AsyncConnection, job_id: uuid.UUID) -> RowMapping | None:
    """The batch that this job begins; None once another job does."""
    found = await connection.execute(text(f"{_SELECT} WHERE batch.job_id = :id"), {"id": job_id})
    return found.mappings().one_or_none()


class BatchKey(NamedTuple):
    """Where a page ended; the batch itself may have been removed since."""

    created_at: datetime
    id: uuid.UUID


async def page(
    connection: AsyncConnection, *, catalog_id: int, after: BatchKey | None, limit: int
) -> Sequence[RowMapping]:
    """Newest first; `after` is the last one of the page before."""
    behind = "AND (batch.created_at, batch.id) < (:created_at, :id)"
    found = await connection.execute(
        text(f"""{_SELECT} WHERE batch.catalog_id = :catalog_id {behind if after else ""}
            ORDER BY batch.created_at DESC, batch.id DESC LIMIT :limit"""),
        {"catalog_id": catalog_id, "limit": limit, **(after._asdict() if after else {})},
    )
    return found.mappings().all()


async def finished_among(connection: AsyncConnection, batch_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    found = await connection.execute(
        text("SELECT id FROM batch WHERE id = ANY(:ids) AND state = ANY(:ended)"),
        {"ids": list(batch_ids), "ended": sorted(BATCH_ENDED)},
    )
    return {row.id for row in found}


async def uploads(connection: AsyncConnection, batch_id: uuid.UUID) -> Sequence[RowMapping]:
    found = await connection.execute(
        text("SELECT * FROM upload WHERE batch_id = :id ORDER BY number"), {"id": batch_id}
    )
    return found.mappings().all()


async def has_uploads(connection: AsyncConnection, batch_id: uuid.UUID) -> bool:
    found = await connection.scalar(text("SELECT EXISTS (SELECT FROM upload WHERE batch_id = :id)"), {"id": batch_id})
    return bool(found)


async def start(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    """A worker has begun; where one has already, nothing changes."""
    found = await connection.execute(
        text("""
            UPDATE batch SET state = 'running', started_at = coalesce(started_at, clock_timestamp()),
                   revision = revision + 1
            WHERE id = :id AND state = ANY(:before) RETURNING id
        """),
        {"id": batch_id, "before": before(BATCH, "running")},
    )
    if found.first() is not None:
        await notify(connection, batch_id)


async def set_model(connection: AsyncConnection, batch_id: uuid.UUID, model_version_id: int) -> None:
    await connection.execute(
        text("UPDATE batch SET model_version_id = :model WHERE id = :id"),
        {"id": batch_id, "model": model_version_id},
    )


async def add_counts(
    connection: AsyncConnection,
    batch_id: uuid.UUID,
    *,
    total: int = 0,
    succeeded: int = 0,
    failed: int = 0,
    rows_uploaded: int = 0,
    rows_missing: int = 0,
) -> None:
    """Counts change only here and at the batch's end, in the transaction that changes the items."""
    await connection.execute(
        text("""
            UPDATE batch SET items_total = items_total + :total, items_succeeded = items_succeeded + :succeeded,
                   items_failed = items_failed + :failed, rows_uploaded = rows_uploaded + :rows_uploaded,
                   rows_missing = rows_missing + :rows_missing, revision = revision + 1
            WHERE id = :id
        """),
        {
            "id": batch_id,
            "total": total,
            "succeeded": succeeded,
            "failed": failed,
            "rows_uploaded": rows_uploaded,
            "rows_missing": rows_missing,
        },
    )
    await notify(connection, batch_id)


async def end_reached(connection: AsyncConnection, batch_id: uuid.UUID) -> str | None:
    """The state in which the batch ends now, if it does; the batch stays locked, so that one of several shards sees it.

    It ends when no item is waiting; after a wish to cancel, as soon as nobody works on it.
    """
    batch = await lock(connection, batch_id)
    if batch["state"] not in before(BATCH, "completed") or not batch["is_prepared"]:
        return None
    if batch["items_succeeded"] + batch["items_failed"] + batch["items_cancelled"] == batch["items_total"]:
        return "completed"
    if not batch["cancel_requested"]:
        return None
    working = await connection.scalar(
        text("SELECT EXISTS (SELECT FROM job WHERE batch_id = :id AND state IN ('queued', 'running'))"),
        {"id": batch_id},
    )
    return None if working else "cancelled"


async def finish(
    connection: AsyncConnection,
    batch_id: uuid.UUID,
    state: str,
    *,
    error: Mapping[str, Any] | None = None,
    input_summary: Mapping[str, Any] | None = None,
) -> None:
    """The end of a batch: items still waiting are cancelled, or fail for its reason, and waiting requests wake."""
    left = "cancelled" if state == "cancelled" else "failed"
    await connection.execute(
        text("""
            WITH ended AS (
                UPDATE batch_item SET state = :left WHERE batch_id = :id AND state = ANY(:before)
                RETURNING position, external_id
            )
            INSERT INTO batch_fault (batch_id, number, severity, position, item, code, message)
            SELECT :id, row_number() OVER (ORDER BY position)
                   + (SELECT coalesce(max(number), 0) FROM batch_fault WHERE batch_id = :id),
                   'error', position, external_id, :code, :message
            FROM ended WHERE :left = 'failed'
        """),
        {
            "id": batch_id,
            "left": left,
            "before": before(ITEM, left),
            "code": error["code"] if error else "unhandled_error",
            "message": f"The batch failed as a whole: {error['detail'] if error else 'no reason is known'}",
        },
    )
    statement = text("""
        UPDATE batch SET state = :state, error = :error, input_summary = coalesce(:input_summary, input_summary),
               finished_at = clock_timestamp(), revision = revision + 1,
               items_cancelled = count.cancelled, items_failed = count.failed
        FROM (SELECT count(*) FILTER (WHERE state = 'cancelled') AS cancelled,
                     count(*) FILTER (WHERE state = 'failed') AS failed
              FROM batch_item WHERE batch_id = :id AND state <> 'succeeded') AS count
        WHERE id = :id
    """).bindparams(
        bindparam("error", type_=JSONB(none_as_null=True)),
        bindparam("input_summary", type_=JSONB(none_as_null=True)),
    )
    await connection.execute(
        statement, {"id": batch_id, "state": state, "error": error, "input_summary": input_summary}
    )
    await notify(connection, batch_id)
