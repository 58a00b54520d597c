"""Models of an open batch: what makes one, and what is added to it."""

from __future__ import annotations

from typing import Annotated, Any

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

from groovemark.classifier.schema.batch import Counts
from groovemark.db.models import DEFAULT_TASK


def _printable(text: str) -> str:
    if not text.isprintable():
        raise ValueError("holds characters that cannot be printed")
    return text


Name = Annotated[str, Field(min_length=1, max_length=255), AfterValidator(_printable)]


class NewBatchRequest(BaseModel):
    """An open batch of audio, to which files are added in as many requests as are needed."""

    model_config = ConfigDict(extra="forbid")

    task: Name = DEFAULT_TASK
    model: Name | None = Field(None, description="`name` or `name@version`; otherwise the one for audio.")


class AddedFile(BaseModel):
    """One file of a request, as it was stored."""

    field: str
    file_name: str
    sha256: str
    size_bytes: int
    format: str | None = Field(description="By its content, such as `wav` or `zip`; null when that is unknown.")
    position: int | None = Field(
        description="Of the item that it is; null for a manifest, and for a zip, which is opened when the batch starts."
    )


class AddedFiles(BaseModel):
    """What one request added, and the batch's counts with it."""

    files: list[AddedFile]
    counts: Counts


FILES_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "title": "AddFilesForm",
                "properties": {
                    "files": {
                        "type": "array",
                        "items": {"type": "string", "format": "binary"},
                        "example": [],
                        "description": "Audio files (wav, flac, mp3, ogg, m4a) or zips of them.",
                    },
                    "manifest": {
                        "type": "string",
                        "format": "binary",
                        "description": "A CSV of ids and titles for audio files: file, external_id, title.",
                    },
                },
            }
        }
    },
}
