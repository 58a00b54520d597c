"""`Idempotency-Key`: a POST request is carried out once, however often it is sent.

The key is held in the database before the body is read, so that a second request is refused while the first runs.
What the request creates and the key's record are one transaction: a process that dies after it has left an answer.
"""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import logging
from collections.abc import Awaitable, Callable
from http import HTTPStatus
from typing import Annotated

from fastapi import Depends, Header, Request, Response
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.bodies import received_form, with_small_body
from groovemark.db import idempotency as keys
from groovemark.db.clients import Caller
from groovemark.db.idempotency import Answer, Done, Hold
from groovemark.db.session import Database
from groovemark.dependencies import Services, get_services
from groovemark.errors import DatabaseUnavailable, KeyInUse, KeyReused, RequestRejected
from groovemark.ingest.uploads import ReceivedForm

logger = logging.getLogger(__name__)

HOLD_S = 60.0
"""A process that is silent for so long has lost its keys."""
KEY_CHARACTERS_MAX = 255
REPLAYED = "Idempotency-Replayed"

Handle = Callable[[Request], Awaitable[Response]]


class Once:
    """One POST request being carried out; without a key there is nothing to record."""

    def __init__(self, hold: Hold | None, asked: bytes) -> None:
        self._hold = hold
        self._asked = asked
        self._kept_instead: Response | None = None

    def add_form(self, form: ReceivedForm) -> None:
        """The form is part of what was asked: its fields, and its files by name and content."""
        self._asked = _with_form(self._asked, form)

    def keep_instead(self, answer: Response) -> None:
        """What a repeated request gets, where the first answer holds a secret that must not be stored."""
        self._kept_instead = answer

    async def record(self, connection: AsyncConnection, answer: Response) -> None:
        """Call it at the end of the transaction that does what was asked.

        If the process dies before it has answered, the repeated request gets this answer.
        """
        if self._hold is not None:
            await keys.record(connection, self._hold, self._asked, _kept(answer), is_last=False)

    async def settle(self, database: Database, response: Response | None) -> None:
        """The end of the request. Success is an answer to keep; failure is one if something was done before it."""
        if self._hold is None:
            return
        try:
            async with database.transaction() as connection:
                is_done = response is not None and response.status_code < HTTPStatus.BAD_REQUEST
                if not is_done:
                    is_done = await keys.release(connection, self._hold)
                if is_done and response is not None and response.status_code < HTTPStatus.INTERNAL_SERVER_ERROR:
                    kept = _kept(self._kept_instead or response)
                    await keys.record(connection, self._hold, self._asked, kept, is_last=True)
        except (DatabaseUnavailable, KeyInUse) as error:
            logger.warning("the answer to a request could not be kept: %s", error)


def get_once(request: Request) -> Once:
    once: Once = request.state.once
    return once


OnceDependency = Annotated[Once, Depends(get_once)]


def declare_key(
    idempotency_key: Annotated[
        str | None,
        Header(
            alias="Idempotency-Key",
            max_length=KEY_CHARACTERS_MAX,
            description="A text of your own, new for every request. Sent again with the same key within 24 hours, the "
            "request is not carried out again but gets its first answer, with `Idempotency-Replayed: true`.",
        ),
    ] = None,
) -> None:
    """Declares the header in the OpenAPI document; `answer_once` has read it already."""
    del idempotency_key


async def answer_once(request: Request, caller: Caller, handle: Handle, *, takes_form: bool) -> Response:
    """Carry the request out, unless that was done before: then the first answer again.

    Raises KeyInUse while the first request runs, KeyReused when it was another, RequestRejected for what is no key.
    """
    services = get_services(request)
    key = _key(request)
    if key is None:
        return await _carry_out(request, services, None, handle, takes_form=takes_form)
    async with services.database.transaction() as connection:
        claimed = await keys.claim(connection, caller.client_id, key, hold_s=HOLD_S)
    if isinstance(claimed, Done):
        return await _answer_again(request, services, claimed, takes_form=takes_form)
    prolonging = asyncio.create_task(_prolong(services.database, claimed))
    try:
        return await _carry_out(request, services, claimed, handle, takes_form=takes_form)
    finally:
        prolonging.cancel()


def _key(request: Request) -> str | None:
    given = request.headers.getlist("idempotency-key")
    if not given:
        return None
    key = given[0]
    if len(given) > 1 or not 1 <= len(key) <= KEY_CHARACTERS_MAX or not (key.isascii() and key.isprintable()):
        raise RequestRejected(f"Idempotency-Key must be one text of 1 to {KEY_CHARACTERS_MAX} printable characters.")
    return key


async def _carry_out(
    request: Request, services: Services, hold: Hold | None, handle: Handle, *, takes_form: bool
) -> Response:
    once, response = Once(hold, b""), None
    try:
        if not takes_form:
            request = await with_small_body(request)
        once = Once(hold, await _asked(request, takes_form=takes_form))
        request.state.once = once
        response = await handle(request)
    finally:
        await once.settle(services.database, response)
    return response


async def _prolong(database: Database, hold: Hold) -> None:
    while True:
        await asyncio.sleep(HOLD_S / 3)
        with contextlib.suppress(DatabaseUnavailable):
            async with database.transaction() as connection:
                await keys.prolong(connection, hold, hold_s=HOLD_S)


async def _answer_again(request: Request, services: Services, done: Done, *, takes_form: bool) -> Response:
    if takes_form:
        asked = await _asked(request, takes_form=True)
        async with received_form(request, services) as form:
            asked = _with_form(asked, form)
    else:
        asked = await _asked(await with_small_body(request), takes_form=False)
    if asked != done.fingerprint:
        raise KeyReused
    answer = done.answer
    return Response(answer.body, answer.status, headers={**answer.headers, REPLAYED: "true"})


async def _asked(request: Request, *, takes_form: bool) -> bytes:
    """SHA-256 of method, path, query and the meaning of the body, but for a form's, which comes later."""
    body = b"" if takes_form else _canonical(await request.body())
    scope = request.scope
    return _digest(scope["method"].encode(), scope["path"].encode("utf-8", "replace"), scope["query_string"], body)


def _canonical(body: bytes) -> bytes:
    """Equal for JSON that says the same; anything else is taken as it is."""
    try:
        return json.dumps(json.loads(body), sort_keys=True, separators=(",", ":")).encode()
    except (ValueError, RecursionError):
        return body


def _with_form(asked: bytes, form: ReceivedForm) -> bytes:
    texts = [f"{name}={value}" for name, value in sorted(form.texts.items())]
    files = [f"{file.field}={file.stored.sha256} {file.file_name}" for file in form.files]
    return _digest(asked, *(part.encode("utf-8", "replace") for part in (*texts, "", *files)))


def _digest(*parts: bytes) -> bytes:
    """Of the parts, not of their concatenation."""
    total = hashlib.sha256()
    for part in parts:
        total.update(hashlib.sha256(part).digest())
    return total.digest()


def _kept(response: Response) -> Answer:
    headers = {name: value for name, value in response.headers.items() if name != "content-length"}
    return Answer(response.status_code, headers, bytes(response.body))
