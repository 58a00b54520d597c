"""Model of the message that webhooks get."""

from __future__ import annotations

import uuid
from datetime import datetime

from pydantic import BaseModel, Field

from groovemark.classifier.schema.batch import BatchState, Counts, Links


class MessageData(BaseModel):
    """What became of the batch."""

    batch_id: uuid.UUID
    state: BatchState
    counts: Counts
    links: Links


class Message(BaseModel):
    """A batch has ended; the body of a request to a webhook."""

    type: str = Field(description="batch.completed, batch.failed or batch.cancelled.")
    timestamp: datetime
    data: MessageData
