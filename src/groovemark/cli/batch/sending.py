"""Requests that are sent until they are answered: again when the connection broke, later when the service is busy."""

from __future__ import annotations

import sys
import time
import uuid
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from email.utils import parsedate_to_datetime
from typing import Any

import httpx

from groovemark.cli.batch.connection import Refused, asked
from groovemark.cli.batch.files import LocalFile
from groovemark.errors import RequestRejected

ATTEMPTS = 8
PAUSE_S_MAX = 30.0
ASKED_PAUSE_S_MAX = 86_400.0
_AWAY = frozenset({429, 502, 503, 504})


class Sender:
    """Sends each request under a key made of its path, its files' names and sizes, and `keys`.

    With the same `keys`, another process can send a request again too: it is carried out once.
    """

    def __init__(self, api: httpx.Client, *, keys: uuid.UUID | None = None, **headers: str) -> None:
        self._api, self._headers = api, headers
        self._keys = keys or uuid.uuid4()

    def post(
        self, path: str, *, json: Any = None, data: Any = None, files: Sequence[tuple[str, LocalFile]] = ()
    ) -> Any:
        """The answer's JSON. Raises Refused, or httpx.TransportError when the service stays away."""
        names = [f"{field} {file.name} {file.size_bytes}" for field, file in files]
        headers = {**self._headers, "Idempotency-Key": str(uuid.uuid5(self._keys, "\n".join([path, *names])))}

        def ask() -> httpx.Response:
            with ExitStack() as opened:
                parts = [(field, (file.name, opened.enter_context(_open(file)))) for field, file in files]
                return asked(self._api, "POST", path, json=json, data=data, files=parts or None, headers=headers)

        return until_answered(ask).json()


def _open(file: LocalFile) -> Any:
    try:
        return file.path.open("rb")
    except OSError as error:
        raise RequestRejected(f"{file.path} cannot be read: {error.strerror}.") from error


def until_answered(ask: Callable[[], httpx.Response]) -> httpx.Response:
    """Ask until there is a good answer, for as long as the service says when to come again.

    Raises Refused, or httpx.TransportError when the service stays away.
    """
    failures = 0
    while True:
        try:
            return ask()
        except (httpx.TransportError, Refused) as error:
            pause_s = asked_pause_s(error)
            failures = failures + 1 if pause_s is None else 0
            if failures == ATTEMPTS or not is_passing(error):
                raise
            if pause_s is None:
                pause_s = min(2.0 ** (failures - 1), PAUSE_S_MAX)
            elif not _is_under_way(error):
                # Not typer.echo, which writes into the middle of a progress bar.
                print(f"Waiting {pause_s:.0f} s, as the service asks: {error}", file=sys.stderr)
        time.sleep(pause_s)


def is_passing(error: Exception) -> bool:
    """The service is away, or has too much to do, or the first request with this key is still under way."""
    if isinstance(error, Refused):
        return error.answer.status_code in _AWAY or "retry-after" in error.answer.headers
    return isinstance(error, httpx.TransportError)


def _is_under_way(error: Exception) -> bool:
    return isinstance(error, Refused) and error.answer.status_code == httpx.codes.CONFLICT


def asked_pause_s(error: Exception) -> float | None:
    """What Retry-After says, in seconds or as a date."""
    given = error.answer.headers.get("retry-after", "") if isinstance(error, Refused) else ""
    try:
        pause_s = float(given) if given.isdecimal() else parsedate_to_datetime(given).timestamp() - time.time()
    except ValueError:
        return None
    return min(max(pause_s, 1.0), ASKED_PAUSE_S_MAX)
