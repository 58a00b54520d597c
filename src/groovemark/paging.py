"""Keyset pages: a limit, a cursor, and a Link header to the next page."""

from __future__ import annotations

import base64
import json
import uuid
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from typing import Annotated, Any, TypeVar
from urllib.parse import quote, urlencode

from fastapi import Query, Request

from groovemark.errors import RequestRejected

LIMIT_MAX = 1_000
CURSOR_CHARACTERS_MAX = 16_384
"""A key holds a title, and a title of control characters takes six bytes each in JSON."""

After = Annotated[
    str | None, Query(max_length=CURSOR_CHARACTERS_MAX, description="From the Link header of the page before.")
]


Limit = Annotated[int, Query(ge=1, le=LIMIT_MAX, description="Entries a page.")]


def encode_cursor(*key: Any) -> str:
    """An opaque text for the last row's key."""
    return base64.urlsafe_b64encode(json.dumps(key, ensure_ascii=False, default=str).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The key again. Raises RequestRejected for anything that `encode_cursor` did not make."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
        if not isinstance(key, list) or len(key) != len(kinds):
            raise ValueError  # noqa: TRY301  as wrong as one that does not parse
        return [_PARTS[kind](part) for kind, part in zip(kinds, key, strict=True)]
    except (ValueError, TypeError, OverflowError, RecursionError) as error:
        raise RequestRejected("`after` must be taken from the Link header of the page before.") from error


def _number(part: Any) -> int:
    if type(part) is not int or not -1 <= part < 2**63:
        raise ValueError
    return part


def _text(part: Any) -> str:
    if not isinstance(part, str) or "\0" in part:
        raise ValueError
    part.encode()  # JSON can spell lone surrogates, which no text of the database may hold
    return part


def _time(part: Any) -> datetime:
    moment = datetime.fromisoformat(_text(part))
    if moment.tzinfo is None:
        raise ValueError
    return moment.astimezone(UTC)


_PARTS: Mapping[type, Callable[[Any], Any]] = {
    int: _number,
    str: _text,
    uuid.UUID: lambda part: uuid.UUID(_text(part)),
    datetime: _time,
}


Row = TypeVar("Row")


def cut_page(rows: Sequence[Row], limit: int) -> tuple[Sequence[Row], Row | None]:
    """A page, and its last row if another page follows, of rows asked for with one more than `limit`."""
    page = rows[:limit]
    return page, page[-1] if len(rows) > limit else None


def next_link(request: Request, **changed: str) -> dict[str, str]:
    """The Link header, as a path: the Host header is the client's word and is never repeated."""
    query = {**request.query_params, **changed}
    return {"Link": f'<{quote(request.scope["path"])}?{urlencode(query)}>; rel="next"'}
