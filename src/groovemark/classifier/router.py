"""Routes of batches."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Query, Request, Response
from fastapi.responses import JSONResponse, StreamingResponse

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.classifier import present, results, service
from groovemark.classifier.prefer import wait_s
from groovemark.classifier.results import ResultFormat
from groovemark.classifier.schema.batch import (
    Batch,
    BatchFault,
    BatchList,
    FaultList,
    ItemList,
    ItemState,
    Severity,
)
from groovemark.classifier.schema.predict_batch import REQUEST_BODY, Info, PredictBatchResponse
from groovemark.db import batches
from groovemark.dependencies import Services, ServicesDependency
from groovemark.errors import FAULTS_MAX, Conflict, DatabaseUnavailable, Fault, Unavailable
from groovemark.handlers import MEDIA_TYPE, path_of, problem, respond
from groovemark.ingest.uploads import receive_form
from groovemark.paging import LIMIT_MAX, After, cut_page, decode_cursor, encode_cursor, next_link
from groovemark.schema import documented, errors

PACKAGE = "groovemark.classifier"
router = APIRouter(route_class=AuthenticatedRoute, tags=["classifier"])

Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Entries a page.")]
_PREDICT: dict[str, Any] = {
    "summary": "Classify a batch",
    "response_model": PredictBatchResponse,
    "openapi_extra": {"requestBody": REQUEST_BODY},
    "responses": {
        200: documented(PACKAGE, "predict_batch", "A CSV, finished while the request waited."),
        202: documented(PACKAGE, "batch", "Accepted: the batch, to be watched at Location.", model=Batch),
        **errors(400, 401, 403, 409, 413, 415, 422, 503, 507),
    },
}


@router.post("/classifier/predict-batch", operation_id="predict_batch_classifier", **_PREDICT)
@router.post("/predict-batch", operation_id="predict_batch_api_api_v1_predict_batch_post", **_PREDICT)
async def predict_batch(
    request: Request,
    caller: CallerDependency,
    services: ServicesDependency,
    prefer: Annotated[
        str | None, Header(description="`wait=SECONDS` (default 30, at most 300) or `respond-async`.")
    ] = None,
) -> Response:
    """Classify a CSV feature table (`csv_file`) or audio (`files`) and keep the answers.

    A CSV that is finished in time answers 200 with its counts, one that is rejected in time 422 with every bad cell;
    otherwise, and always for audio, the answer is 202 with the batch. `Location` names the batch in every case.
    """
    patience_s = wait_s(prefer)
    async with receive_form(
        request.stream(),
        content_type=request.headers.get("content-type", ""),
        content_length=_content_length(request),
        storage=services.storage,
        limits=services.upload_limits,
    ) as form:
        submission = service.read_form(form)
        batch_id = await service.accept(services, caller, submission, keep=form.keep)
    location = {"Location": present.batch_path(batch_id)}
    if submission.kind == "csv" and patience_s:
        await services.notices.wait(batch_id, timeout_s=patience_s)
    try:
        row = await service.find(services, caller, batch_id)
    except DatabaseUnavailable:
        accepted = Unavailable("The batch was accepted, but the database does not answer at the moment; see Location.")
        return respond(request, accepted, headers=location)
    if row["kind"] == "csv" and row["state"] in batches.FINAL_STATES:
        return await _finished(request, services, row, location)
    return JSONResponse(present.batch(row).model_dump(mode="json"), 202, headers=location)


def _content_length(request: Request) -> int | None:
    text = request.headers.get("content-length", "")
    return int(text) if text.isascii() and text.isdigit() else None


async def _finished(request: Request, services: Services, row: Any, headers: dict[str, str]) -> Response:
    """The counts, or the error."""
    if row["state"] == "cancelled":
        return respond(request, Conflict("The batch was cancelled; nothing of it was stored."), headers=headers)
    if row["state"] == "failed":
        return await _rejected(request, services, row, headers)
    info = Info(
        total_rows_uploaded=row["rows_uploaded"],
        total_rows_w_na=row["rows_missing"],
        total_rows_added_to_db=row["items_succeeded"],
    )
    return JSONResponse(PredictBatchResponse(info=info).model_dump(), headers=headers)


async def _rejected(request: Request, services: Services, row: Any, headers: dict[str, str]) -> Response:
    error = row["error"]
    async with services.database.transaction() as connection:
        found = await batches.faults(connection, row["id"], severity="error", after=0, limit=FAULTS_MAX)
    body = problem(
        code=error["code"],
        status=error["status"],
        title=error["title"],
        detail=error["detail"],
        instance=path_of(request),
        faults=[
            Fault(
                fault["code"], fault["message"], item=fault["item"], line=fault["line"], column=fault["column"]
            ).as_dict()
            for fault in found
        ],
    )
    return JSONResponse(body, error["status"], headers=headers, media_type=MEDIA_TYPE)


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
    last = decode_cursor(after, uuid.UUID)[0] if after else None
    async with services.database.transaction() as connection:
        found = await batches.page(connection, catalog_id=caller.catalog_id, after=last, limit=limit + 1)
    rows, end = cut_page(found, limit)
    if end is not None:
        response.headers.update(next_link(request, after=encode_cursor(end["id"])))
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


@router.get(
    "/classifier/batches/{batch_id}/items",
    operation_id="list_items",
    summary="List a batch's items",
    response_model=ItemList,
    responses={200: documented(PACKAGE, "items", "A page, by position."), **errors(401, 404, 422, 503)},
)
async def list_items(
    request: Request,
    response: Response,
    batch_id: uuid.UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    state: Annotated[ItemState | None, Query(description="Only items in this state.")] = None,
    limit: Limit = 100,
    after: After = None,
) -> ItemList:
    """Rows or files of the batch, each with its label or the reason why it failed."""
    await service.find(services, caller, batch_id)
    last = decode_cursor(after, int)[0] if after else None
    async with services.database.transaction() as connection:
        found = await batches.items(connection, batch_id, state=state, after=last, limit=limit + 1)
    rows, end = cut_page(found, limit)
    if end is not None:
        response.headers.update(next_link(request, after=encode_cursor(end["position"])))
    return ItemList(items=[present.item(row) for row in rows])


_DOWNLOAD: dict[str, Any] = {
    "response_class": StreamingResponse,
    "responses": {
        200: {
            "description": "external_id, title, label, confidence, one prob_<label> each, model, model_version",
            "content": {
                media_type.partition(";")[0]: {"schema": {"type": "string"}}
                for media_type in results.MEDIA_TYPES.values()
            },
        },
        **errors(401, 404, 409, 422, 503),
    },
}


@router.get(
    "/classifier/batches/{batch_id}/results",
    operation_id="get_results",
    summary="Download results",
    **_DOWNLOAD,
)
async def get_results(
    batch_id: uuid.UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    accept: Annotated[str | None, Header(include_in_schema=False)] = None,
) -> StreamingResponse:
    """Succeeded items as JSON lines, CSV or Parquet, chosen by `Accept`; readable while the batch runs."""
    row = await service.find(services, caller, batch_id)
    return await results.download(services, row, results.negotiate(accept))


@router.get(
    "/classifier/batches/{batch_id}/results.{file_format}",
    operation_id="get_results_file",
    summary="Download results as a file",
    **_DOWNLOAD,
)
async def get_results_file(
    batch_id: uuid.UUID, file_format: ResultFormat, caller: CallerDependency, services: ServicesDependency
) -> StreamingResponse:
    """The same by name, for browsers: results.csv, results.jsonl, results.parquet."""
    return await results.download(services, await service.find(services, caller, batch_id), file_format)


@router.get(
    "/classifier/batches/{batch_id}/errors",
    operation_id="list_errors",
    summary="List what went wrong",
    response_model=FaultList,
    responses={200: documented(PACKAGE, "errors", "A page, as found."), **errors(401, 404, 422, 503)},
)
async def list_errors(
    request: Request,
    response: Response,
    batch_id: uuid.UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    severity: Annotated[Severity, Query(description="`warning` lists rows that a later one replaced.")] = "error",
    limit: Limit = 100,
    after: After = None,
) -> FaultList:
    """Bad cells with line and column, and files that could not be read, each with a code and a message."""
    await service.find(services, caller, batch_id)
    last = decode_cursor(after, int)[0] if after else 0
    async with services.database.transaction() as connection:
        found = await batches.faults(connection, batch_id, severity=severity, after=last, limit=limit + 1)
    rows, end = cut_page(found, limit)
    if end is not None:
        response.headers.update(next_link(request, after=encode_cursor(end["number"])))
    faults = [BatchFault(**{name: row[name] for name in BatchFault.model_fields}) for row in rows]
    return FaultList(errors=faults)


@router.post(
    "/classifier/batches/{batch_id}/cancel",
    operation_id="cancel_batch",
    summary="Cancel a batch",
    response_model=Batch,
    status_code=202,
    responses={202: documented(PACKAGE, "batch", "The batch."), **errors(401, 403, 404, 409, 422, 503)},
)
async def cancel_batch(batch_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency) -> Batch:
    """No new item is started; what is finished stays."""
    return present.batch(await service.cancel(services, caller, batch_id))
