"""Every error becomes the one JSON error body: RFC 9457's members, and those that older clients read."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from http import HTTPStatus
from typing import Any

from fastapi import FastAPI, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, Response
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.routing import Match

from groovemark.errors import FAULTS_MAX, Fault, RequestRejected, ServiceError, shorten

logger = logging.getLogger(__name__)

MEDIA_TYPE = "application/problem+json"
METHODS = ("DELETE", "GET", "HEAD", "PATCH", "POST", "PUT")


def problem(
    *, code: str, status: int, title: str, detail: str, instance: str, faults: list[dict[str, Any]]
) -> dict[str, Any]:
    """The error body."""
    return {
        "type": f"urn:groovemark:error:{code.removesuffix('_error').replace('_', '-')}",
        "title": title,
        "status": status,
        "detail": detail,
        "instance": instance,
        "status_code": status,
        "info": {"errorCode": code, "message": detail},
        "errors": faults,
    }


def path_of(request: Request) -> str:
    """The path alone: `request.url` puts the Host header before it, and fails when the query is not UTF-8."""
    path: str = request.scope["path"]
    return path


def respond(request: Request, error: ServiceError, *, headers: Mapping[str, str] | None = None) -> JSONResponse:
    body = problem(
        code=error.code,
        status=error.status,
        title=error.title,
        detail=error.message,
        instance=path_of(request),
        faults=[fault.as_dict() for fault in error.faults[:FAULTS_MAX]],
    )
    return JSONResponse(body, error.status, headers={**error.headers, **(headers or {})}, media_type=MEDIA_TYPE)


async def _service_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, ServiceError)  # noqa: S101  Starlette calls it for nothing else
    if error.status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        logger.warning("%s %s: %s", request.method, shorten(path_of(request)), error.code)
    return respond(request, error)


async def _validation_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, RequestValidationError)  # noqa: S101
    faults = [_parameter_fault(found) for found in error.errors()[:FAULTS_MAX]]
    named = "; ".join(f"{fault.column}: {fault.message}" for fault in faults[:3])
    return respond(request, RequestRejected(f"The request is not valid: {named}.", faults=faults))


def _parameter_fault(found: Mapping[str, Any]) -> Fault:
    place = [str(part) for part in found.get("loc", ())]
    return Fault(
        code=str(found.get("type", "invalid")),
        message=shorten(str(found.get("msg", "is not valid"))),
        column=".".join(place[1:]) or ".".join(place),
    )


async def _http_error(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)  # noqa: S101
    status = HTTPStatus(error.status_code)
    body = problem(
        code=status.name.lower(),
        status=status,
        title=status.phrase,
        detail=f"{request.method} {shorten(path_of(request))}: {status.phrase.lower()}.",
        instance=path_of(request),
        faults=[],
    )
    headers = dict(error.headers or {})
    if status == HTTPStatus.METHOD_NOT_ALLOWED:
        headers["Allow"] = ", ".join(_allowed_methods(request))
    return JSONResponse(body, status, headers=headers, media_type=MEDIA_TYPE)


def _allowed_methods(request: Request) -> list[str]:
    """Of every route of this path: Starlette names those of the first alone, and of a folder of files none."""

    def is_served(method: str) -> bool:
        scope = {**request.scope, "method": method}
        return any(route.matches(scope)[0] == Match.FULL for route in request.app.routes)

    return [method for method in METHODS if is_served(method)] or ["GET", "HEAD"]


async def _unhandled(request: Request, _error: Exception) -> Response:
    """A bug. The trace goes to the log and nowhere else."""
    return respond(request, ServiceError("An unexpected error happened; the service's log tells more."))


async def _disconnected(_request: Request, _error: Exception) -> Response:
    return Response(status_code=HTTPStatus.BAD_REQUEST)  # nobody is there to read it


def add_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ServiceError, _service_error)
    app.add_exception_handler(RequestValidationError, _validation_error)
    app.add_exception_handler(HTTPException, _http_error)
    app.add_exception_handler(ClientDisconnect, _disconnected)
    app.add_exception_handler(Exception, _unhandled)
