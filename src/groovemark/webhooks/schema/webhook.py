"""Models of webhooks."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

Event = Literal["batch.completed", "batch.failed", "batch.cancelled"]
URL_CHARACTERS_MAX = 2_000


class NewWebhook(BaseModel):
    """Where to send messages."""

    url: str = Field(
        max_length=URL_CHARACTERS_MAX,
        description="http or https, without credentials, at an address that is reachable from everywhere.",
        examples=["https://example.com/groovemark"],
    )


class Webhook(BaseModel):
    """An address that is told of the ends of the client's batches."""

    id: uuid.UUID
    url: str
    created_at: datetime


class WebhookSecret(Webhook):
    """With its newest secret, which is shown this once."""

    secret: str = Field(description="whsec_ and the key in Base64; it verifies `webhook-signature`.")


class Delivery(BaseModel):
    """One message and how its sending went."""

    id: uuid.UUID = Field(description="The message's `webhook-id`, the same in every attempt.")
    event: Event
    state: Literal["pending", "delivered", "failed"]
    attempts: int
    response_status: int | None = Field(description="Of the last attempt; null when there was no answer.")
    error: str | None = Field(description="What was wrong with the last attempt.")
    created_at: datetime
    delivered_at: datetime | None


class WebhookDetail(Webhook):
    """With its last messages, newest first."""

    deliveries: list[Delivery]


class WebhookList(BaseModel):
    """Oldest first."""

    webhooks: list[Webhook]
