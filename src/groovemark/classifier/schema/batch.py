"""Models of batches."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Literal

from pydantic import BaseModel, Field

BatchState = Literal["open", "queued", "running", "completed", "failed", "cancelled"]
ItemState = Literal["pending", "succeeded", "failed", "cancelled"]
Severity = Literal["error", "warning"]


class Counts(BaseModel):
    """Rows as uploaded, and items: the rows or files that were to be classified."""

    rows_uploaded: int
    rows_w_na: int = Field(description="Rows dropped because a required field was empty.")
    items: int
    succeeded: int
    failed: int
    cancelled: int


class BatchError(BaseModel):
    """Why a whole batch failed."""

    code: str
    message: str


class Links(BaseModel):
    """Paths of what belongs to the batch."""

    self: str
    files: str = Field(description="POST more files here while the batch is open,")
    start: str = Field(description="and then have it run.")
    events: str
    items: str
    results: str
    errors: str
    cancel: str
    retry: str


class Batch(BaseModel):
    """One submission and how far it has come."""

    id: uuid.UUID
    state: BatchState
    kind: Literal["csv", "audio"]
    task: str
    model: str | None = Field(description="`name@version`; null until it is chosen.")
    on_error: Literal["reject", "skip"]
    counts: Counts
    progress: float = Field(ge=0, le=1)
    rate_per_s: float | None = Field(description="Items a second since it was last begun; null while unknown.")
    eta_s: float | None = Field(
        description="Seconds until its end at that rate; null when it does not run, or unknown."
    )
    cancel_requested: bool
    error: BatchError | None
    created_at: datetime
    started_at: datetime | None
    finished_at: datetime | None
    links: Links


class BatchList(BaseModel):
    """Newest first."""

    batches: list[Batch]


class ItemError(BaseModel):
    """Why an item failed; `column` where it is a cell."""

    code: str
    message: str
    column: str | None = None


class Item(BaseModel):
    """One row or one audio file."""

    position: int
    external_id: str | None
    title: str | None
    line: int | None
    state: ItemState
    label: str | None
    confidence: float | None
    error: ItemError | None


class ItemList(BaseModel):
    """By position."""

    items: list[Item]


class Segment(BaseModel):
    """What the model heard from `start_s` on."""

    start_s: float
    label: str
    confidence: float
    probabilities: dict[str, float]


class SegmentList(BaseModel):
    """An item's timeline."""

    position: int
    external_id: str | None
    window_s: float | None = Field(description="Length of a segment, the last may be shorter; null if there is one.")
    segments: list[Segment]


class BatchFault(BaseModel):
    """One thing wrong, and where."""

    item: str | None
    line: int | None
    column: str | None
    code: str
    message: str


class FaultList(BaseModel):
    """In the order in which they were found."""

    errors: list[BatchFault]


class FaultGroup(BaseModel):
    """What went wrong in the same way."""

    code: str
    count: int
    examples: list[BatchFault] = Field(description="The first three.")


class FaultGroupList(BaseModel):
    """The commonest first."""

    groups: list[FaultGroup]
