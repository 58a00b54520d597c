"""Model of an event of a batch."""

from __future__ import annotations

from pydantic import BaseModel, Field

from groovemark.classifier.schema.batch import BatchState


class Progress(BaseModel):
    """How far a batch has come; the `data` of an event, as JSON on one line."""

    state: BatchState
    items: int
    succeeded: int
    failed: int
    cancelled: int
    progress: float = Field(ge=0, le=1)
    rate_per_s: float | None = Field(description="Items a second since the batch was last begun; null while unknown.")
    eta_s: float | None = Field(description="Seconds until the end at this pace; null when unknown.")
