"""Where clients want to be told of the ends of their batches, and what they are told: an outbox with a job each."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db import jobs
from groovemark.db.clients import Caller
from groovemark.db.jobs import NewJob
from groovemark.db.lifecycle import DELIVERY, before
from groovemark.errors import Conflict

JOB_KIND: Final = "deliver_webhook"
ENDPOINTS_MAX = 10
OLD_SECRET_HOURS = 24


@dataclass(frozen=True, slots=True)
class Delivery:
    """A message to be sent, as it stands at this moment of the database's clock."""

    id: uuid.UUID
    endpoint_id: uuid.UUID
    url: str
    secret_numbers: tuple[int, ...]
    """Those that are good at present, the newest first."""
    secret_sha256: bytes
    payload: Mapping[str, Any]
    attempts: int
    sent_at: datetime
    is_wanted: bool
    """The client has not been revoked in the meantime."""


async def add(
    connection: AsyncConnection, caller: Caller, endpoint_id: uuid.UUID, *, url: str, secret_sha256: bytes
) -> RowMapping:
    """A new endpoint. Raises Conflict when the client has as many as it may have."""
    await connection.execute(text("SELECT id FROM client WHERE id = :id FOR NO KEY UPDATE"), {"id": caller.client_id})
    count = await connection.scalar(
        text("SELECT count(*) FROM webhook_endpoint WHERE client_id = :id"), {"id": caller.client_id}
    )
    if (count or 0) >= ENDPOINTS_MAX:
        raise Conflict(f"The client has {ENDPOINTS_MAX} webhooks, the most there may be; delete one first.")
    found = await connection.execute(
        text("""
            INSERT INTO webhook_endpoint (id, catalog_id, client_id, url, secret_sha256)
            VALUES (:id, :catalog_id, :client_id, :url, :sha256) RETURNING *
        """),
        {
            "id": endpoint_id,
            "catalog_id": caller.catalog_id,
            "client_id": caller.client_id,
            "url": url,
            "sha256": secret_sha256,
        },
    )
    return found.mappings().one()


async def of_client(connection: AsyncConnection, caller: Caller) -> Sequence[RowMapping]:
    found = await connection.execute(
        text("""
            SELECT * FROM webhook_endpoint WHERE client_id = :client_id AND catalog_id = :catalog_id
            ORDER BY created_at, id
        """),
        {"client_id": caller.client_id, "catalog_id": caller.catalog_id},
    )
    return found.mappings().all()


async def find(connection: AsyncConnection, caller: Caller, endpoint_id: uuid.UUID) -> RowMapping | None:
    """None for any other client's, too."""
    return next((row for row in await of_client(connection, caller) if row["id"] == endpoint_id), None)


async def remove(connection: AsyncConnection, endpoint_id: uuid.UUID) -> None:
    """With its deliveries; what was to be sent is not."""
    await connection.execute(text("DELETE FROM webhook_endpoint WHERE id = :id"), {"id": endpoint_id})


async def rotate(connection: AsyncConnection, endpoint_id: uuid.UUID, *, number: int, secret_sha256: bytes) -> bool:
    """To the secret of this number; the one before is good for a while. False where it has that number already."""
    found = await connection.execute(
        text("""
            UPDATE webhook_endpoint
            SET secret_number = :number, secret_sha256 = :sha256, rotated_at = clock_timestamp()
            WHERE id = :id AND secret_number = :number - 1 RETURNING id
        """),
        {"id": endpoint_id, "number": number, "sha256": secret_sha256},
    )
    return found.first() is not None


async def deliveries(connection: AsyncConnection, endpoint_id: uuid.UUID, *, limit: int) -> Sequence[RowMapping]:
    """Newest first."""
    found = await connection.execute(
        text("""
            SELECT * FROM webhook_delivery WHERE endpoint_id = :id ORDER BY created_at DESC, id DESC LIMIT :limit
        """),
        {"id": endpoint_id, "limit": limit},
    )
    return found.mappings().all()


async def to_tell(connection: AsyncConnection, batch_id: uuid.UUID) -> Sequence[uuid.UUID]:
    """The endpoints that want to know of a batch; they stay until the transaction ends."""
    found = await connection.execute(
        text("""
            SELECT endpoint.id FROM webhook_endpoint endpoint
            JOIN batch ON batch.client_id = endpoint.client_id AND batch.catalog_id = endpoint.catalog_id
            JOIN client ON client.id = endpoint.client_id AND client.revoked_at IS NULL
            WHERE batch.id = :id ORDER BY endpoint.id FOR KEY SHARE OF endpoint
        """),
        {"id": batch_id},
    )
    return [row.id for row in found]


async def add_delivery(
    connection: AsyncConnection, endpoint_id: uuid.UUID, batch: RowMapping, *, event: str, payload: Mapping[str, Any]
) -> NewJob:
    """A message and the job that sends it, which is to be queued in the same transaction."""
    job = await jobs.create(connection, kind=JOB_KIND, catalog_id=batch["catalog_id"], client_id=batch["client_id"])
    statement = text("""
        INSERT INTO webhook_delivery (id, endpoint_id, job_id, event, payload)
        VALUES (gen_random_uuid(), :endpoint_id, :job_id, :event, :payload)
    """).bindparams(bindparam("payload", type_=JSONB))
    await connection.execute(
        statement, {"endpoint_id": endpoint_id, "job_id": job.id, "event": event, "payload": payload}
    )
    return job


async def delivery(connection: AsyncConnection, job_id: uuid.UUID) -> Delivery | None:
    """What the job has to send; None when the endpoint is gone, or it was sent."""
    found = await connection.execute(
        text("""
            SELECT delivery.id, delivery.endpoint_id, delivery.payload, delivery.attempts, endpoint.url,
                   endpoint.secret_number, endpoint.secret_sha256,
                   client.revoked_at IS NULL AS is_wanted, clock_timestamp() AS sent_at,
                   coalesce(endpoint.rotated_at > clock_timestamp() - make_interval(hours => :hours), false) AS has_old
            FROM webhook_delivery delivery JOIN webhook_endpoint endpoint ON endpoint.id = delivery.endpoint_id
            JOIN client ON client.id = endpoint.client_id
            WHERE delivery.job_id = :job_id AND delivery.state = 'pending'
        """),
        {"job_id": job_id, "hours": OLD_SECRET_HOURS},
    )
    row = found.mappings().one_or_none()
    if row is None:
        return None
    newest = row["secret_number"]
    return Delivery(
        id=row["id"],
        endpoint_id=row["endpoint_id"],
        url=row["url"],
        secret_numbers=(newest, newest - 1) if row["has_old"] else (newest,),
        secret_sha256=row["secret_sha256"],
        payload=row["payload"],
        attempts=row["attempts"],
        sent_at=row["sent_at"],
        is_wanted=row["is_wanted"],
    )


async def record_attempt(
    connection: AsyncConnection, delivery_id: uuid.UUID, state: str, *, response_status: int | None, error: str | None
) -> None:
    """`state`: delivered, failed, or still pending."""
    await connection.execute(
        text("""
            UPDATE webhook_delivery SET state = :state, attempts = attempts + 1, response_status = :response_status,
                   error = :error,
                   delivered_at = CASE WHEN :state = 'delivered' THEN clock_timestamp() ELSE delivered_at END
            WHERE id = :id AND (state = ANY(:before) OR (state = 'pending' AND :state = 'pending'))
        """),
        {
            "id": delivery_id,
            "state": state,
            "before": before(DELIVERY, state),
            "response_status": response_status,
            "error": error,
        },
    )


async def give_up(connection: AsyncConnection, delivery_id: uuid.UUID, *, error: str) -> None:
    """The message will not be sent again, if it is there still."""
    await connection.execute(
        text("UPDATE webhook_delivery SET state = 'failed', error = :error WHERE id = :id AND state = ANY(:before)"),
        {"id": delivery_id, "error": error, "before": before(DELIVERY, "failed")},
    )
