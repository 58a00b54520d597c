"""Models of the health routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class HealthcheckResponse(BaseModel):
    """The service is there."""

    status: Literal["success"] = "success"
    version: str
    name: str


class LiveResponse(BaseModel):
    """The process answers; nothing else was asked."""

    status: Literal["live"] = "live"


class ReadyResponse(BaseModel):
    """Whether requests can be served, and what is missing."""

    status: Literal["ready", "not ready"]
    database: bool
    worker: bool | None
