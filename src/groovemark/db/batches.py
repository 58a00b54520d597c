"""Batches, their uploads, items and faults.

open ─► queued ─► running ─► completed      at least the good items are recorded; the counts say how many
          │          ├─────► failed         the whole batch was rejected or could not be run
          └──────────┴─────► cancelled      what was finished stays
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import CursorResult, RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.errors import Conflict

CHANNEL = "groovemark_batch"
"""NOTIFY channel: the payload is the id of a batch that has come to its end."""

FINAL_STATES = frozenset({"completed", "failed", "cancelled"})
CANCEL_WAIT_S = 3
LOCK_NOT_AVAILABLE = "55P03"


@dataclass(frozen=True, slots=True)
class NewUpload:
    field: str
    file_name: str
    sha256: str
    size_bytes: int
    format: str | None


@dataclass(frozen=True, slots=True)
class NewItem:
    """An item known before the work starts: one audio file."""

    external_id: str
    title: str | None
    upload_number: int
    member: str | None = None


@dataclass(frozen=True, slots=True)
class NewBatch:
    catalog_id: int
    client_id: str
    kind: str
    task: str
    on_error: str
    model_requested: str | None
    model_version_id: int | None


async def create(
    connection: AsyncConnection,
    new: NewBatch,
    *,
    job_id: uuid.UUID,
    uploads: Sequence[NewUpload],
    items: Sequence[NewItem],
) -> uuid.UUID:
    """A queued batch with everything it refers to; the caller's transaction also queues the job."""
    batch_id = uuid.uuid4()
    await connection.execute(
        text("""
            INSERT INTO batch (id, catalog_id, client_id, job_id, kind, task, on_error, model_requested,
                               model_version_id, items_total)
            VALUES (:id, :catalog_id, :client_id, :job_id, :kind, :task, :on_error, :model_requested,
                    :model_version_id, :items_total)
        """),
        {
            "id": batch_id,
            "job_id": job_id,
            "items_total": len(items),
            "catalog_id": new.catalog_id,
            "client_id": new.client_id,
            "kind": new.kind,
            "task": new.task,
            "on_error": new.on_error,
            "model_requested": new.model_requested,
            "model_version_id": new.model_version_id,
        },
    )
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
            for number, upload in enumerate(uploads)
        ],
    )
    await _insert_items(connection, batch_id, items, first_position=0)
    return batch_id


async def append_items(connection: AsyncConnection, batch_id: uuid.UUID, items: Sequence[NewItem]) -> None:
    """The members of a zip, behind the items already there."""
    first = await connection.scalar(
        text("SELECT coalesce(max(position) + 1, 0) FROM batch_item WHERE batch_id = :id"), {"id": batch_id}
    )
    await _insert_items(connection, batch_id, items, first_position=int(first or 0))
    await add_counts(connection, batch_id, total=len(items))


async def set_prepared(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    """Its items are all known and named; a later attempt takes them as they are."""
    await connection.execute(text("UPDATE batch SET is_prepared = true WHERE id = :id"), {"id": batch_id})


async def _insert_items(
    connection: AsyncConnection, batch_id: uuid.UUID, items: Sequence[NewItem], *, first_position: int
) -> None:
    if not items:
        return
    await connection.execute(
        text("""
            INSERT INTO batch_item (batch_id, position, external_id, title, upload_number, member)
            VALUES (:batch_id, :position, :external_id, :title, :upload_number, :member)
        """),
        [
            {
                "batch_id": batch_id,
                "position": position,
                "external_id": item.external_id,
                "title": item.title,
                "upload_number": item.upload_number,
                "member": item.member,
            }
            for position, item in enumerate(items, start=first_position)
        ],
    )


_SELECT = """
    SELECT batch.*, job.progress AS job_progress, job.cancel_requested,
           model_version.name || '@' || model_version.version AS model, model_version.labels
    FROM batch JOIN job ON job.id = batch.job_id
    LEFT JOIN model_version ON model_version.id = batch.model_version_id
"""


async def find(connection: AsyncConnection, batch_id: uuid.UUID, *, catalog_id: int) -> RowMapping | None:
    found = await connection.execute(
        text(f"{_SELECT} WHERE batch.id = :id AND batch.catalog_id = :catalog_id"),
        {"id": batch_id, "catalog_id": catalog_id},
    )
    return found.mappings().one_or_none()


async def find_by_job(connection: AsyncConnection, job_id: uuid.UUID) -> RowMapping | None:
    found = await connection.execute(text(f"{_SELECT} WHERE batch.job_id = :id"), {"id": job_id})
    return found.mappings().one_or_none()


async def page(
    connection: AsyncConnection, *, catalog_id: int, after: uuid.UUID | None, limit: int
) -> Sequence[RowMapping]:
    """Newest first; `after` is the last id of the page before."""
    behind = """AND (batch.created_at, batch.id) < (
        SELECT created_at, id FROM batch last WHERE last.id = :after AND last.catalog_id = :catalog_id)"""
    found = await connection.execute(
        text(f"""{_SELECT} WHERE batch.catalog_id = :catalog_id {behind if after else ""}
            ORDER BY batch.created_at DESC, batch.id DESC LIMIT :limit"""),
        {"catalog_id": catalog_id, "limit": limit, **({"after": after} if after else {})},
    )
    return found.mappings().all()


async def finished_among(connection: AsyncConnection, batch_ids: Sequence[uuid.UUID]) -> set[uuid.UUID]:
    found = await connection.execute(
        text("SELECT id FROM batch WHERE id = ANY(:ids) AND state IN ('completed', 'failed', 'cancelled')"),
        {"ids": list(batch_ids)},
    )
    return {row.id for row in found}


async def uploads(connection: AsyncConnection, batch_id: uuid.UUID) -> Sequence[RowMapping]:
    found = await connection.execute(
        text("SELECT * FROM upload WHERE batch_id = :id ORDER BY number"), {"id": batch_id}
    )
    return found.mappings().all()


async def pending_items(connection: AsyncConnection, batch_id: uuid.UUID) -> Sequence[RowMapping]:
    found = await connection.execute(
        text("""
            SELECT position, external_id, title, upload_number, member, coalesce(member, file_name) AS file
            FROM batch_item JOIN upload ON upload.batch_id = :id AND upload.number = upload_number
            WHERE batch_item.batch_id = :id AND state = 'pending' ORDER BY position
        """),
        {"id": batch_id},
    )
    return found.mappings().all()


async def name_item(
    connection: AsyncConnection, batch_id: uuid.UUID, position: int, *, external_id: str, title: str | None
) -> None:
    await connection.execute(
        text("""
            UPDATE batch_item SET external_id = :external_id, title = :title
            WHERE batch_id = :id AND position = :position
        """),
        {"id": batch_id, "position": position, "external_id": external_id, "title": title},
    )


async def items(
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


async def start(connection: AsyncConnection, batch_id: uuid.UUID) -> None:
    await connection.execute(
        text("""
            UPDATE batch SET state = 'running', started_at = coalesce(started_at, clock_timestamp())
            WHERE id = :id AND state IN ('queued', 'running')
        """),
        {"id": batch_id},
    )


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
    """Counts change only here, in the transaction that changes the items."""
    await connection.execute(
        text("""
            UPDATE batch SET items_total = items_total + :total, items_succeeded = items_succeeded + :succeeded,
                   items_failed = items_failed + :failed, rows_uploaded = rows_uploaded + :rows_uploaded,
                   rows_missing = rows_missing + :rows_missing
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


async def finish(
    connection: AsyncConnection,
    batch_id: uuid.UUID,
    state: str,
    *,
    error: Mapping[str, Any] | None = None,
    input_summary: Mapping[str, Any] | None = None,
) -> None:
    """The end of a batch: items still waiting are cancelled, or failed with it, and waiting requests wake."""
    left = "cancelled" if state == "cancelled" else "failed"
    await connection.execute(
        text("UPDATE batch_item SET state = :left WHERE batch_id = :id AND state = 'pending'"),
        {"id": batch_id, "left": left},
    )
    statement = text("""
        UPDATE batch SET state = :state, error = :error, input_summary = coalesce(:input_summary, input_summary),
               finished_at = clock_timestamp(),
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
    await connection.execute(text("SELECT pg_notify(:channel, :id)"), {"channel": CHANNEL, "id": str(batch_id)})


async def fail_item(connection: AsyncConnection, batch_id: uuid.UUID, position: int) -> bool:
    """Whether the item was waiting until now."""
    found = await connection.execute(
        text("""
            UPDATE batch_item SET state = 'failed'
            WHERE batch_id = :id AND position = :position AND state = 'pending' RETURNING position
        """),
        {"id": batch_id, "position": position},
    )
    return found.first() is not None


async def request_cancel(connection: AsyncConnection, batch_id: uuid.UUID, job_id: uuid.UUID) -> None:
    """A batch that nobody works on is cancelled at once; a running one when its worker sees the wish.

    Raises Conflict while the results are being recorded: that holds the job, and waiting would hold a connection.
    """
    await connection.execute(text(f"SET LOCAL lock_timeout = '{CANCEL_WAIT_S}s'"))
    try:
        job = await _mark_cancelled(connection, job_id)
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) == LOCK_NOT_AVAILABLE:
            raise Conflict("The results are being recorded at this moment; it is too late to cancel.") from error
        raise
    row = job.first()
    if row is not None and row.state == "cancelled":
        await finish(connection, batch_id, "cancelled")


async def _mark_cancelled(connection: AsyncConnection, job_id: uuid.UUID) -> CursorResult[Any]:
    return await connection.execute(
        text("""
            UPDATE job SET cancel_requested = true,
                   state = CASE WHEN state = 'queued' THEN 'cancelled' ELSE state END,
                   finished_at = CASE WHEN state = 'queued' THEN clock_timestamp() ELSE finished_at END
            WHERE id = :id AND state IN ('queued', 'running') RETURNING state
        """),
        {"id": job_id},
    )
