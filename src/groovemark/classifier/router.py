"""Routes that take a whole batch in one request."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header, Request, Response
from fastapi.responses import JSONResponse

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.bodies import received_form
from groovemark.classifier import answers, present, service
from groovemark.classifier.prefer import wait_s
from groovemark.classifier.schema.batch import Batch
from groovemark.classifier.schema.predict_batch import REQUEST_BODY, Info, PredictBatchResponse
from groovemark.db import items
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.dependencies import Services, ServicesDependency
from groovemark.errors import FAULTS_MAX, Conflict, DatabaseUnavailable, Fault, Unavailable
from groovemark.handlers import MEDIA_TYPE, path_of, problem, respond
from groovemark.idempotency import OnceDependency
from groovemark.schema import documented, errors

PACKAGE = "groovemark.classifier"
router = APIRouter(route_class=AuthenticatedRoute, tags=["classifier"])

_PREDICT: dict[str, Any] = {
    "summary": "Classify a batch",
    "response_model": PredictBatchResponse,
    "openapi_extra": {"requestBody": REQUEST_BODY},
    "responses": {
        200: documented(PACKAGE, "predict_batch", "A CSV, finished while the request waited."),
        202: documented(PACKAGE, "batch", "Accepted: the batch, to be watched at Location.", model=Batch),
        **errors(400, 401, 403, 409, 413, 415, 422, 429, 503, 507),
    },
}


@router.post("/classifier/predict-batch", operation_id="predict_batch_classifier", **_PREDICT)
@router.post("/predict-batch", operation_id="predict_batch_api_api_v1_predict_batch_post", **_PREDICT)
async def predict_batch(
    request: Request,
    caller: CallerDependency,
    services: ServicesDependency,
    once: OnceDependency,
    prefer: Annotated[
        str | None, Header(description="`wait=SECONDS` (default 30, at most 300) or `respond-async`.")
    ] = None,
) -> Response:
    """Classify a CSV feature table (`csv_file`) or audio (`files`, or the URLs of a `manifest`) and keep the answers.

    A CSV that is finished in time answers 200 with its counts, one that is rejected in time 422 with every bad cell;
    otherwise, and always for audio, the answer is 202 with the batch. `Location` names the batch in every case.
    """
    patience_s = wait_s(prefer)
    await services.admission.check(caller.client_id)
    async with received_form(request, services) as form:
        once.add_form(form)
        submission = service.read_form(form)
        accepted = await service.accept(services, caller, submission, once, keep=form.keep)
    if accepted["kind"] == "audio":
        return answers.accepted(accepted)
    batch_id, location = accepted["id"], {"Location": present.batch_path(accepted["id"])}
    if patience_s:
        await services.notices.wait(batch_id, timeout_s=patience_s)
    try:
        row = await service.find(services, caller, batch_id)
    except DatabaseUnavailable:
        lost = Unavailable("The batch was accepted, but the database does not answer at the moment; see Location.")
        return respond(request, lost, headers=location)
    if row["state"] in BATCH_ENDED:
        return await _finished(request, services, row, location)
    return answers.accepted(row)


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
        found = await items.faults(connection, row["id"], severity="error", after=0, limit=FAULTS_MAX)
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
