"""The end of a batch, and what follows from it, in one transaction."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier import present
from groovemark.classifier.schema.message import Message, MessageData
from groovemark.db import batches, webhooks
from groovemark.db.session import raw_connection
from groovemark.queue import queue


async def end_batch(
    connection: AsyncConnection,
    batch_id: uuid.UUID,
    state: str,
    *,
    error: Mapping[str, Any] | None = None,
    input_summary: Mapping[str, Any] | None = None,
) -> None:
    """Settle the items and counts, tell whoever waits, and queue what webhooks are to be told."""
    await batches.finish(connection, batch_id, state, error=error, input_summary=input_summary)
    if endpoint_ids := await webhooks.to_tell(connection, batch_id):
        await _queue_messages(connection, batch_id, endpoint_ids)


async def _queue_messages(connection: AsyncConnection, batch_id: uuid.UUID, endpoint_ids: Sequence[uuid.UUID]) -> None:
    row = await batches.get(connection, batch_id)
    assert row is not None  # noqa: S101  it has just ended
    event = f"batch.{row['state']}"
    batch = present.batch(row)
    message = Message(
        type=event,
        timestamp=row["finished_at"],
        data=MessageData(batch_id=batch.id, state=batch.state, counts=batch.counts, links=batch.links),
    )
    payload = message.model_dump(mode="json")
    work = [
        await webhooks.add_delivery(connection, endpoint_id, row, event=event, payload=payload)
        for endpoint_id in endpoint_ids
    ]
    await queue.enqueue(await raw_connection(connection), webhooks.JOB_KIND, work)
