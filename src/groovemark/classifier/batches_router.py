"""Routes of batches: make, fill, start, watch, cancel and retry them."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Annotated, Any

from fastapi import APIRouter, Body, Request, Response

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.bodies import received_form
from groovemark.classifier import answers, opening, present, retrying, service
from groovemark.classifier.schema.batch import Batch, BatchList
from groovemark.classifier.schema.files import FILES_BODY, AddedFiles, NewBatchRequest
from groovemark.db import batches
from groovemark.db.batches import BatchKey
from groovemark.dependencies import ServicesDependency
from groovemark.idempotency import OnceDependency
from groovemark.ingest.uploads import AUDIO_FIELDS
from groovemark.paging import After, Limit, cut_page, decode_cursor, encode_cursor, next_link
from groovemark.schema import documented, errors

PACKAGE = "groovemark.classifier"
router = APIRouter(route_class=AuthenticatedRoute, tags=["classifier"])


@router.post(
    "/classifier/batches",
    operation_id="create_batch",
    summary="Open a batch",
    response_model=Batch,
    status_code=201,
    responses={
        201: documented(PACKAGE, "open_batch", "The batch, without files; its name is in Location."),
        **errors(400, 401, 403, 409, 413, 422, 503),
    },
)
async def create_batch(
    caller: CallerDependency,
    services: ServicesDependency,
    once: OnceDependency,
    asked: Annotated[NewBatchRequest | None, Body()] = None,
) -> Response:
    """A batch of audio beyond one request: open it, add files in as many requests as needed, start it."""
    return await opening.create(services, caller, asked or NewBatchRequest(), once)


@router.get(
    "/classifier/batches",
    operation_id="list_batches",
    summary="List batches",
    response_model=BatchList,
    responses={200: documented(PACKAGE, "batches", "A page, newest first."), **errors(401, 422, 503)},
)
async def list_batches(
    request: Request,
    response: Response,
    caller: CallerDependency,
    services: ServicesDependency,
    limit: Limit = 100,
    after: After = None,
) -> BatchList:
    """All batches of the client's catalog, newest first."""
    last = BatchKey(*decode_cursor(after, datetime, uuid.UUID)) if after else None
    async with services.database.transaction() as connection:
        found = await batches.page(connection, catalog_id=caller.catalog_id, after=last, limit=limit + 1)
    rows, end = cut_page(found, limit)
    if end is not None:
        response.headers.update(next_link(request, after=encode_cursor(end["created_at"], end["id"])))
    return BatchList(batches=[present.batch(row) for row in rows])


@router.get(
    "/classifier/batches/{batch_id}",
    operation_id="get_batch",
    summary="Watch a batch",
    response_model=Batch,
    responses={200: documented(PACKAGE, "batch", "The batch as it stands."), **errors(401, 404, 422, 503)},
)
async def get_batch(batch_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency) -> Batch:
    """State, counts, model, times and progress."""
    return present.batch(await service.find(services, caller, batch_id))


@router.post(
    "/classifier/batches/{batch_id}/files",
    operation_id="add_files",
    summary="Add files to an open batch",
    response_model=AddedFiles,
    status_code=201,
    openapi_extra={"requestBody": FILES_BODY},
    responses={
        201: documented(PACKAGE, "added_files", "What this request added."),
        **errors(400, 401, 403, 404, 409, 413, 422, 503, 507),
    },
)
async def add_files(
    request: Request,
    batch_id: uuid.UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    once: OnceDependency,
) -> Response:
    """Audio files, zips of them, and manifests; several requests may add at once. Of a refused request nothing stays.

    Of several manifests that name a file, the last one counts.
    """
    await opening.find_open(services, caller, batch_id)
    async with received_form(request, services, fields=AUDIO_FIELDS) as form:
        once.add_form(form)
        return await opening.add(services, caller, batch_id, form, once)


_CHANGE: dict[str, Any] = {"response_model": Batch, "status_code": 202}


@router.post(
    "/classifier/batches/{batch_id}/start",
    operation_id="start_batch",
    summary="Start an open batch",
    responses={
        202: documented(PACKAGE, "batch", "The batch."),
        **errors(400, 401, 403, 404, 409, 413, 422, 429, 503),
    },
    **_CHANGE,
)
async def start_batch(
    batch_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency, once: OnceDependency
) -> Response:
    """All files are there: let the workers begin. No more can be added."""
    return await opening.start(services, caller, batch_id, once)


@router.post(
    "/classifier/batches/{batch_id}/cancel",
    operation_id="cancel_batch",
    summary="Cancel a batch",
    responses={202: documented(PACKAGE, "batch", "The batch."), **errors(400, 401, 403, 404, 409, 413, 422, 503)},
    **_CHANGE,
)
async def cancel_batch(
    batch_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency, once: OnceDependency
) -> Response:
    """No new item is started; what is finished stays."""
    return answers.accepted(await service.cancel(services, caller, batch_id, once))


@router.post(
    "/classifier/batches/{batch_id}/retry",
    operation_id="retry_batch",
    summary="Run again what failed",
    responses={
        202: documented(PACKAGE, "batch", "The batch."),
        **errors(400, 401, 403, 404, 409, 413, 422, 429, 503),
    },
    **_CHANGE,
)
async def retry_batch(
    batch_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency, once: OnceDependency
) -> Response:
    """Of a batch that has ended, the failed items alone are run again; their errors are forgotten.

    A batch that failed as a whole, such as a CSV that was rejected, is run again as a whole. Rows that failed alone
    (`on_error=skip`) are not, since they would fail again.
    """
    return await retrying.retry(services, caller, batch_id, once)
