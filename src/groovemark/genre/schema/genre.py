"""Models of the genre routes."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel


class GenreListResponse(BaseModel):
    """Genres that at least one track carries."""

    status: Literal["success"] = "success"
    status_code: Literal[200] = 200
    genre: list[str]


class TitleListResponse(BaseModel):
    """Titles of one genre, sorted, one entry a track."""

    status: Literal["success"] = "success"
    status_code: Literal[200] = 200
    genre: str
    titles: list[str]
