"""Running again what failed."""

from __future__ import annotations

import uuid

from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier import answers, service
from groovemark.db import batches, items
from groovemark.db.clients import Caller
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.dependencies import Services
from groovemark.errors import Conflict
from groovemark.idempotency import Once


async def retry(services: Services, caller: Caller, batch_id: uuid.UUID, once: Once) -> JSONResponse:
    """Queue a batch's failed items, or a batch that failed as a whole, again. Raises Conflict where there are none."""
    _refuse(await service.find(services, caller, batch_id))
    await services.admission.check(caller.client_id)
    async with services.database.transaction() as connection:
        row = await batches.lock(connection, batch_id)
        _refuse(row)
        await _wait_again(connection, row)
        await service.begin(connection, batch_id, caller, kind=row["kind"])
        row = await service.get(connection, caller, batch_id)
        answer = answers.accepted(row)
        await once.record(connection, answer)
    services.admission.add(row)
    return answer


def _refuse(row: RowMapping) -> None:
    if row["state"] not in BATCH_ENDED:
        raise Conflict(f"The batch is {row['state']}; what fails can be run again when it has ended.")
    if row["uploads_removed_at"] is not None:
        raise Conflict("The batch's uploads were removed when their time was over; send the files in a new batch.")
    if not row["items_failed"] and not _failed_as_a_whole(row):
        raise Conflict(f"The batch is {row['state']} and nothing of it failed; what was cancelled needs a new batch.")
    if row["kind"] == "csv" and row["state"] != "failed":
        raise Conflict("Rows that were rejected would be rejected again; correct them and post them as a new batch.")


def _failed_as_a_whole(row: RowMapping) -> bool:
    """Before its items were all known."""
    return row["state"] == "failed" and not row["is_prepared"]


async def _wait_again(connection: AsyncConnection, row: RowMapping) -> None:
    if _failed_as_a_whole(row):
        await items.forget_faults(connection, row["id"])
    await items.wait_again(connection, row["id"])
