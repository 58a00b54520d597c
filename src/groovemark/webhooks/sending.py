"""One attempt to hand a message over."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from http import HTTPStatus

from groovemark.errors import FetchFailed
from groovemark.ingest.guarded import FetchLimits, GuardedClient

LIMITS = FetchLimits(bytes_max=4096, total_s=15, answer_s=15)
"""What the receiver has to say is of no interest; its status is."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """`error`: what was wrong, in our words; None when the message was taken."""

    status: int | None = None
    error: str | None = None
    is_final: bool = False
    """Trying again is pointless."""

    @property
    def is_delivered(self) -> bool:
        return self.error is None


async def send(http: GuardedClient, url: str, headers: Mapping[str, str], body: bytes) -> Outcome:
    """Never raises for what a receiver does."""
    try:
        answer = await http.post(url, body, {**headers, "content-type": "application/json"}, LIMITS)
    except FetchFailed as error:
        return Outcome(error=error.message)
    if HTTPStatus(200) <= answer.status < HTTPStatus(300):
        return Outcome(answer.status)
    # By the specification, 410 is how a receiver says that it wants no more of it.
    return Outcome(answer.status, f"The receiver answered {answer.status}.", is_final=answer.status == HTTPStatus.GONE)
