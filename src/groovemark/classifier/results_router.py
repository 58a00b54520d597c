"""Routes of what a batch consists of and what came of it: items, results, errors."""

from __future__ import annotations

import uuid
from typing import Annotated, Any

from fastapi import APIRouter, Header, Path, Query, Request, Response
from fastapi.responses import StreamingResponse

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.classifier import present, results, service
from groovemark.classifier.results import ResultFormat
from groovemark.classifier.schema.batch import (
    BatchFault,
    FaultGroup,
    FaultGroupList,
    FaultList,
    ItemList,
    ItemState,
    SegmentList,
    Severity,
)
from groovemark.db import items
from groovemark.dependencies import ServicesDependency
from groovemark.errors import NotFound
from groovemark.paging import After, Limit, cut_page, decode_cursor, encode_cursor, next_link
from groovemark.schema import documented, errors

PACKAGE = "groovemark.classifier"
EXAMPLES_A_CODE = 3
router = APIRouter(route_class=AuthenticatedRoute, tags=["classifier"])
_Severity = Annotated[Severity, Query(description="`warning` lists rows that a later one replaced.")]


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
    last = decode_cursor(after, int)[0] if after else None
    async with services.database.transaction() as connection:
        found = await items.page(connection, batch_id, state=state, after=last, limit=limit + 1)
        await service.get(connection, caller, batch_id)  # else what was found may be a part of it
    rows, end = cut_page(found, limit)
    if end is not None:
        response.headers.update(next_link(request, after=encode_cursor(end["position"])))
    return ItemList(items=[present.item(row) for row in rows])


@router.get(
    "/classifier/batches/{batch_id}/items/{position}/segments",
    operation_id="get_segments",
    summary="Follow a track through time",
    response_model=SegmentList,
    responses={200: documented(PACKAGE, "segments", "In their order."), **errors(401, 404, 422, 503)},
)
async def get_segments(
    batch_id: uuid.UUID,
    position: Annotated[int, Path(ge=0, lt=2**31, description="Of a succeeded item, as /items lists it.")],
    caller: CallerDependency,
    services: ServicesDependency,
) -> SegmentList:
    """What the model said of each window of a long track; their mean is its answer for the track."""
    async with services.database.transaction() as connection:
        batch = await service.get(connection, caller, batch_id)
        found = await items.timeline(connection, batch_id, position)
    if found is None:
        raise NotFound("succeeded item", str(position))
    return present.timeline(batch, found)


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
        **errors(401, 404, 409, 410, 422, 503),
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
    severity: _Severity = "error",
    limit: Limit = 100,
    after: After = None,
) -> FaultList:
    """Bad cells with line and column, and files that could not be read, each with a code and a message."""
    last = decode_cursor(after, int)[0] if after else 0
    async with services.database.transaction() as connection:
        found = await items.faults(connection, batch_id, severity=severity, after=last, limit=limit + 1)
        await service.get(connection, caller, batch_id)  # else what was found may be a part of it
    rows, end = cut_page(found, limit)
    if end is not None:
        response.headers.update(next_link(request, after=encode_cursor(end["number"])))
    faults = [BatchFault(**{name: row[name] for name in BatchFault.model_fields}) for row in rows]
    return FaultList(errors=faults)


@router.get(
    "/classifier/batches/{batch_id}/errors/by-code",
    operation_id="group_errors",
    summary="Count what went wrong",
    response_model=FaultGroupList,
    responses={200: documented(PACKAGE, "error_groups", "The commonest first."), **errors(401, 404, 422, 503)},
)
async def group_errors(
    batch_id: uuid.UUID, caller: CallerDependency, services: ServicesDependency, severity: _Severity = "error"
) -> FaultGroupList:
    """Each code with its count and its first examples."""
    async with services.database.transaction() as connection:
        found = await items.fault_groups(connection, batch_id, severity=severity, examples=EXAMPLES_A_CODE)
        await service.get(connection, caller, batch_id)  # else what was found may be a part of it
    return FaultGroupList(groups=[FaultGroup(**row) for row in found])
