"""Models of predict-batch."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel


class Info(BaseModel):
    """What became of the rows of a CSV."""

    total_rows_uploaded: int
    total_rows_w_na: int
    total_rows_added_to_db: int


class PredictBatchResponse(BaseModel):
    """A finished CSV."""

    status: Literal["success"] = "success"
    status_code: Literal[200] = 200
    info: Info


# The empty examples are what Swagger sends for fields left alone; without them it sends the word "string".
REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "title": "PredictBatchForm",
                "properties": {
                    "csv_file": {
                        "type": "string",
                        "format": "binary",
                        "description": "A feature table; either this or `files`.",
                    },
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "example": [],
                        "description": "Audio files (wav, flac, mp3, ogg, m4a) or one zip of them.",
                    },
                    "manifest": {
                        "type": "string",
                        "format": "binary",
                        "description": "A CSV of ids and titles for audio files: file, external_id, title.",
                    },
                    "model": {
                        "type": "string",
                        "example": "",
                        "description": "`name` or `name@version`; otherwise the CSV's header, or the audio, decides.",
                    },
                    "task": {"type": "string", "default": "genre"},
                    "on_error": {
                        "type": "string",
                        "enum": ["reject", "skip"],
                        "default": "reject",
                        "description": "`reject` stores nothing of a CSV with a bad cell; `skip` stores the good rows.",
                    },
                },
            }
        }
    },
}
