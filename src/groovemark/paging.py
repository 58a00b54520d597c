"""Keyset pages: a limit, a cursor, and a Link header to the next page."""

from __future__ import annotations

import base64
import binascii
import json
from typing import Any
from urllib.parse import urlencode

from fastapi import Request

from groovemark.errors import RequestRejected

LIMIT_MAX = 1_000


def encode_cursor(*key: Any) -> str:
    """An opaque text for the last row's key."""
    return base64.urlsafe_b64encode(json.dumps(key, ensure_ascii=False).encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> list[Any]:
    """The key again. Raises RequestRejected for anything that `encode_cursor` did not make."""
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (ValueError, binascii.Error, RecursionError) as error:
        raise RequestRejected("`after` must be taken from the Link header of the page before.") from error
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise RequestRejected("`after` must be taken from the Link header of the page before.")
    if any(isinstance(part, int) and not -1 <= part < 2**63 for part in key):
        raise RequestRejected("`after` must be taken from the Link header of the page before.")
    if any(isinstance(part, str) and ("\0" in part or (not part.isascii() and _has_surrogate(part))) for part in key):
        raise RequestRejected("`after` must be taken from the Link header of the page before.")
    return key


def _has_surrogate(text: str) -> bool:
    return any("\ud800" <= character <= "\udfff" for character in text)


def next_link(request: Request, **changed: str) -> dict[str, str]:
    """The Link header, as a path: the Host header is the client's word and is never repeated."""
    query = {**request.query_params, **changed}
    return {"Link": f'<{request.url.path}?{urlencode(query)}>; rel="next"'}
