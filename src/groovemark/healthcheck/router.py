"""Routes of health; none asks for credentials."""

from __future__ import annotations

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse, RedirectResponse

from groovemark.db import workers
from groovemark.dependencies import ServicesDependency
from groovemark.errors import DatabaseUnavailable
from groovemark.healthcheck.schema.healthcheck import HealthcheckResponse, LiveResponse, ReadyResponse
from groovemark.schema import documented

PACKAGE = "groovemark.healthcheck"
router = APIRouter(tags=["health"])
root_router = APIRouter(tags=["health"])
"""Stands at the root, without the prefix."""

HEALTHCHECK_PATH = "/api/v1/healthcheck"


@router.head("/healthcheck", include_in_schema=False)
@router.get(
    "/healthcheck",
    operation_id="healthcheck_api_v1_healthcheck_get",
    summary="Name and version",
    responses={200: documented(PACKAGE, "healthcheck", "The service is there.")},
)
async def healthcheck(services: ServicesDependency) -> HealthcheckResponse:
    """Name and version of the service."""
    return HealthcheckResponse(version=services.version, name=services.api_name)


@root_router.get("/", operation_id="index__get", summary="Start here", response_class=RedirectResponse, status_code=307)
async def index(request: Request) -> RedirectResponse:
    """A browser is sent to the documentation, anyone else to the healthcheck."""
    wants_page = "text/html" in request.headers.get("accept", "")
    return RedirectResponse("/docs" if wants_page else HEALTHCHECK_PATH, status_code=307)


@root_router.head("/live", include_in_schema=False)
@root_router.get("/live", operation_id="live", summary="Is the process alive?")
async def live() -> LiveResponse:
    """Answers as long as the process can answer; asks nothing of the database."""
    return LiveResponse()


@root_router.head("/ready", include_in_schema=False)
@root_router.get(
    "/ready",
    operation_id="ready",
    summary="Can requests be served?",
    response_model=ReadyResponse,
    responses={
        200: documented(PACKAGE, "ready", "Ready."),
        503: documented(PACKAGE, "not_ready", "Not ready; the fields say why."),
    },
)
async def ready(services: ServicesDependency) -> Response:
    """200 only when the database answers with the right schema and, where it is asked for, a worker is alive."""
    database = services.clients_are_settled() and await services.database.is_current()
    worker: bool | None = None
    if services.requires_worker:
        worker = database and await _worker_is_alive(services)
    is_ready = database and worker is not False
    answer = ReadyResponse(status="ready" if is_ready else "not ready", database=database, worker=worker)
    return JSONResponse(answer.model_dump(), 200 if is_ready else 503)


async def _worker_is_alive(services: ServicesDependency) -> bool:
    try:
        async with services.database.transaction() as connection:
            return await workers.any_alive(connection)
    except DatabaseUnavailable:
        return False
