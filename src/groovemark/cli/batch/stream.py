"""Following a batch: its server-sent events, through broken connections, and by asking where there are none."""

from __future__ import annotations

import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import httpx

from groovemark.cli.batch.connection import Refused, Unreachable, asked

SILENCE_S = 45.0
"""The service sends a comment every 15 s."""
STREAM_ATTEMPTS = 3
POLL_S = 2.0
AWAY_S_MAX = 300.0
ENDED = frozenset({"completed", "failed", "cancelled"})


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a batch has come."""

    state: str
    items: int
    succeeded: int
    failed: int
    cancelled: int
    progress: float
    rate_per_s: float | None
    eta_s: float | None

    @property
    def has_ended(self) -> bool:
        return self.state in ENDED

    @property
    def is_success(self) -> bool:
        """Everything was classified."""
        return self.state == "completed" and not self.failed

    @classmethod
    def of_batch(cls, batch: dict[str, Any]) -> Progress:
        return cls.of(batch | batch["counts"])

    @classmethod
    def of(cls, data: dict[str, Any]) -> Progress:
        return cls(**{name: data.get(name) for name in cls.__slots__})  # type: ignore[arg-type]


@dataclass(frozen=True, slots=True)
class Event:
    id: str
    data: str


def parse(lines: Iterable[str]) -> Iterator[Event]:
    """The events of a stream (HTML standard, 9.2.6): empty lines end them, lines that begin with a colon are none."""
    last_id = ""
    data: list[str] = []
    for line in lines:
        if not line:
            if data:
                yield Event(last_id, "\n".join(data))
            data = []
            continue
        name, _, value = line.partition(":")
        value = value.removeprefix(" ")
        if name == "data":
            data.append(value)
        elif name == "id" and "\0" not in value:
            last_id = value


def follow(api: httpx.Client, batch_id: str) -> Iterator[Progress]:
    """The batch now and whenever it has changed, until its end. Raises Refused, Unreachable."""
    last_id, failures, heard_at = "", 0, time.monotonic()
    while True:
        try:
            if failures < STREAM_ATTEMPTS:
                for event in _events(api, batch_id, last_id):
                    last_id, failures, heard_at = event.id, 0, time.monotonic()
                    found = Progress.of(json.loads(event.data))
                    yield found
                    if found.has_ended:
                        return
                failures += 1
            found = Progress.of_batch(asked(api, "GET", f"/classifier/batches/{batch_id}").json())
            heard_at = time.monotonic()
            yield found
            if found.has_ended:
                return
        except (httpx.TransportError, Refused) as error:
            _raise_if_final(error, away_s=time.monotonic() - heard_at)
            failures += 1
        time.sleep(POLL_S)


def _events(api: httpx.Client, batch_id: str, last_id: str) -> Iterator[Event]:
    headers = {"Last-Event-ID": last_id} if last_id else {}
    timeout = httpx.Timeout(SILENCE_S)
    with api.stream("GET", f"/classifier/batches/{batch_id}/events", headers=headers, timeout=timeout) as answer:
        if answer.is_error:
            answer.read()
            raise Refused(answer)
        yield from parse(answer.iter_lines())


def _raise_if_final(error: httpx.TransportError | Refused, *, away_s: float) -> None:
    """A service that is away or starts again is waited for; one that says no is believed."""
    if isinstance(error, Refused) and error.answer.status_code < httpx.codes.INTERNAL_SERVER_ERROR:
        raise error
    if away_s > AWAY_S_MAX:
        raise Unreachable(f"The service has not answered for {AWAY_S_MAX:.0f} s; the batch may go on without you.")
