"""Batches beyond one request: open, add files as often as needed, start."""

from __future__ import annotations

import asyncio
import uuid

from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from groovemark.classifier import answers, present, service
from groovemark.classifier.choice import choose_model
from groovemark.classifier.schema.files import AddedFiles, NewBatchRequest
from groovemark.db import batches
from groovemark.db.batches import NewBatch
from groovemark.db.clients import Caller
from groovemark.dependencies import Services
from groovemark.errors import Conflict, RequestRejected
from groovemark.idempotency import Once
from groovemark.ingest.uploads import ReceivedForm


async def create(services: Services, caller: Caller, asked: NewBatchRequest, once: Once) -> JSONResponse:
    """An open batch."""
    async with services.database.transaction() as connection:
        model = await choose_model(connection, caller, kind="audio", task=asked.task, name=asked.model)
        batch_id = await batches.create(
            connection,
            NewBatch(
                catalog_id=caller.catalog_id,
                client_id=caller.client_id,
                kind="audio",
                task=asked.task,
                on_error="reject",
                model_requested=asked.model,
                model_version_id=model.id if model else None,
            ),
        )
        answer = answers.accepted(await service.get(connection, caller, batch_id), status=201)
        await once.record(connection, answer)
    return answer


async def find_open(services: Services, caller: Caller, batch_id: uuid.UUID) -> RowMapping:
    """Raises Conflict when nothing can be added to the batch any more."""
    row = await service.find(services, caller, batch_id)
    _refuse_unless_open(row["state"])
    return row


def _refuse_unless_open(state: str) -> None:
    if state != "open":
        raise Conflict(f"The batch is {state}: files are added before it is started. Make another batch for them.")


async def add(services: Services, caller: Caller, batch_id: uuid.UUID, form: ReceivedForm, once: Once) -> JSONResponse:
    """Have the files of one request kept and recorded: all, or none."""
    files, manifests = form.of("files"), form.of("manifest")
    if not files and not manifests:
        raise RequestRejected("The form has no file; send one or more as files.")
    if len(manifests) > 1:
        raise RequestRejected("A request can bring one manifest.")
    await asyncio.to_thread(form.keep)
    async with services.database.transaction() as connection:
        _refuse_unless_open((await batches.lock(connection, batch_id))["state"])
        added = await service.add_files(services, connection, batch_id, files, manifests[0] if manifests else None)
        batch = present.batch(await service.get(connection, caller, batch_id))
        answer = JSONResponse(AddedFiles(files=added, counts=batch.counts).model_dump(mode="json"), 201)
        await once.record(connection, answer)
    return answer


async def start(services: Services, caller: Caller, batch_id: uuid.UUID, once: Once) -> JSONResponse:
    """Queue the batch. Raises Conflict when that was done before, RequestRejected when there is nothing in it."""
    _refuse_unless_waiting((await service.find(services, caller, batch_id))["state"])
    await services.admission.check(caller.client_id)
    async with services.database.transaction() as connection:
        _refuse_unless_waiting((await batches.lock(connection, batch_id))["state"])
        if not await batches.has_uploads(connection, batch_id):
            raise RequestRejected("The batch is empty; add files to it and start it then.")
        await service.begin(connection, batch_id, caller, kind="audio")
        row = await service.get(connection, caller, batch_id)
        answer = answers.accepted(row)
        await once.record(connection, answer)
    services.admission.add(row)
    return answer


def _refuse_unless_waiting(state: str) -> None:
    if state != "open":
        raise Conflict(f"The batch is {state}: it has been started already, or was cancelled.")
