"""A batch's progress as server-sent events (https://html.spec.whatwg.org/multipage/server-sent-events.html)."""

from __future__ import annotations

import asyncio
import contextlib
import json
import uuid
from collections.abc import AsyncIterator
from typing import Annotated

from fastapi import APIRouter, Header, Response
from fastapi.responses import StreamingResponse
from sqlalchemy import RowMapping
from starlette.types import Receive, Scope, Send

from groovemark.auth import AuthenticatedRoute, CallerDependency
from groovemark.classifier import present, service
from groovemark.classifier.schema.event import Progress
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.db.watching import Watch, Watchers
from groovemark.dependencies import ServicesDependency
from groovemark.schema import errors, sample

PACKAGE = "groovemark.classifier"
KEEP_ALIVE_S = 15.0
STREAM_S_MAX = 900.0
"""Then the client has to come again, and to be authenticated again."""
STUCK_S = 30.0
REVISION_DIGITS_MAX = 18
_EXAMPLE = f"id: 7\nevent: progress\ndata: {json.dumps(sample(PACKAGE, 'event'))}\n\n"

router = APIRouter(route_class=AuthenticatedRoute, tags=["classifier"])


@router.get(
    "/classifier/batches/{batch_id}/events",
    operation_id="watch_batch",
    summary="Follow a batch live",
    response_class=StreamingResponse,
    responses={
        200: {
            "description": "Server-sent events: `progress`, and `end` as the last one.",
            "content": {"text/event-stream": {"schema": {"type": "string"}, "example": _EXAMPLE}},
        },
        204: {"description": "The batch has ended, and Last-Event-ID names its end: there is nothing to come."},
        **errors(401, 404, 422, 503),
    },
)
async def watch_batch(
    batch_id: uuid.UUID,
    caller: CallerDependency,
    services: ServicesDependency,
    last_event_id: Annotated[
        str | None, Header(alias="Last-Event-ID", description="Of the last event seen: only newer ones are sent.")
    ] = None,
) -> Response:
    """The batch as it stands, at once, and again whenever it has changed, at most four times a second, until its end.

    `data` is one JSON object: state, items, succeeded, failed, cancelled, progress, rate_per_s, eta_s. A comment comes
    every 15 s while nothing changes. Streams also end after 15 minutes, and when the service stops: come again with
    Last-Event-ID, as browsers do by themselves. A Last-Event-ID that is none of this batch's is ignored.
    """
    row = await service.find(services, caller, batch_id)
    is_seen = _revision(last_event_id) == row["revision"]
    if is_seen and row["state"] in BATCH_ENDED:
        return Response(status_code=204)
    return _EventStream(services.watchers, row, is_seen=is_seen)


def _revision(event_id: str | None) -> int | None:
    """A batch's revision grows with every change: of those that it has had, only the present one leaves nothing to say.

    None for anything that no event of ours could have been called.
    """
    if event_id is None or not (event_id.isascii() and event_id.isdigit()) or len(event_id) > REVISION_DIGITS_MAX:
        return None
    return int(event_id)


class _EventStream(StreamingResponse):
    """Takes its place among the watchers when it starts, and leaves it however it ends."""

    def __init__(self, watchers: Watchers, row: RowMapping, *, is_seen: bool) -> None:
        super().__init__((), media_type="text/event-stream", headers={"Cache-Control": "no-store"})
        self._watchers, self._row, self._is_seen = watchers, row, is_seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        with self._watchers.watch(self._row["id"]) as watch:
            self.body_iterator = _events(watch, self._row, is_seen=self._is_seen)
            # A client that reads nothing any more is not waited for.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(STREAM_S_MAX + STUCK_S):
                    await super().__call__(scope, receive, send)


async def _events(watch: Watch, first: RowMapping, *, is_seen: bool) -> AsyncIterator[str]:
    loop = asyncio.get_running_loop()
    ends_at = loop.time() + STREAM_S_MAX
    watch.see(first)
    yield ": nothing new yet\n\n" if is_seen else _event(first)
    row: RowMapping | None = first
    while not (watch.is_over or loop.time() >= ends_at or (row is not None and row["state"] in BATCH_ENDED)):
        row = await watch.next(timeout_s=KEEP_ALIVE_S)
        if row is not None:
            yield _event(row)
        elif not watch.is_over:
            yield ": still there\n\n"


def _event(row: RowMapping) -> str:
    batch = present.batch(row)
    progress = Progress(
        state=batch.state,
        items=batch.counts.items,
        succeeded=batch.counts.succeeded,
        failed=batch.counts.failed,
        cancelled=batch.counts.cancelled,
        progress=batch.progress,
        rate_per_s=batch.rate_per_s,
        eta_s=batch.eta_s,
    )
    name = "end" if row["state"] in BATCH_ENDED else "progress"
    return f"id: {row['revision']}\nevent: {name}\ndata: {progress.model_dump_json()}\n\n"
