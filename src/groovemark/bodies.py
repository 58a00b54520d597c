"""Reading the body of a request within the service's limits."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Collection
from typing import Any

from fastapi import Request

from groovemark.dependencies import Services
from groovemark.errors import MalformedRequest, TooLarge
from groovemark.ingest.uploads import FILE_FIELDS, SILENCE_S, TEXT_FIELDS, ReceivedForm, receive_form

BODY_BYTES_MAX = 64 * 1024
"""Of a request that brings no files."""


@contextlib.asynccontextmanager
async def received_form(
    request: Request, services: Services, *, fields: Collection[str] = TEXT_FIELDS | FILE_FIELDS
) -> AsyncIterator[ReceivedForm]:
    """The request's multipart form, of which nothing is left at the end unless it is kept."""
    length = request.headers.get("content-length", "")
    async with receive_form(
        request.stream(),
        content_type=request.headers.get("content-type", ""),
        content_length=int(length) if length.isascii() and length.isdigit() else None,
        storage=services.storage,
        limits=services.upload_limits,
        fields=fields,
    ) as form:
        yield form


async def with_small_body(request: Request) -> Request:
    """The same request, its body read, which FastAPI would do without a limit.

    Raises TooLarge, or MalformedRequest when it does not come in time.
    """
    body = bytearray()
    try:
        async with asyncio.timeout(SILENCE_S):
            async for piece in request.stream():
                body += piece
                if len(body) > BODY_BYTES_MAX:
                    raise TooLarge(f"The body has more than the {BODY_BYTES_MAX} bytes that are accepted.")
    except TimeoutError as error:
        raise MalformedRequest(f"The body did not come within {SILENCE_S:g} s.") from error

    async def receive() -> dict[str, Any]:
        return {"type": "http.request", "body": bytes(body), "more_body": False}

    return Request(request.scope, receive)
