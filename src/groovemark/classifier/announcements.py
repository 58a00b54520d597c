"""What webhooks are told, for the OpenAPI document: the messages that a receiver must be able to take."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Header

from groovemark.classifier.schema.message import Message

router = APIRouter(tags=["webhooks"])

_ENDS = {"completed": "has ended", "failed": "could not be used as a whole", "cancelled": "was cancelled"}
_SIGNED: dict[str, Any] = {
    "status_code": 204,
    "response_description": "Taken.",
    "responses": {"default": {"description": "Anything but 2xx, or nothing within 15 s: it is sent again."}},
}


def _announce(state: str) -> None:
    @router.post(f"batch.{state}", operation_id=f"batch_{state}", summary=f"A batch {_ENDS[state]}", **_SIGNED)
    def told(
        message: Message,
        webhook_id: Annotated[str, Header(description="The same each time a message is sent again.")],
        webhook_timestamp: Annotated[str, Header(description="Seconds since 1970.")],
        webhook_signature: Annotated[str, Header(description="`v1,…` by Standard Webhooks, one for each secret.")],
    ) -> None:
        """A request of groovemark's to the URL that was registered."""


for _state in _ENDS:
    _announce(_state)
