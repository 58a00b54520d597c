"""Posting batches the way clients do."""

from __future__ import annotations

from collections.abc import Mapping

import httpx

Files = Mapping[str, bytes]


def post_csv(
    api: httpx.Client, table: bytes, *, name: str = "tracks.csv", prefer: str = "wait=300", **form: str
) -> httpx.Response:
    """`form`: further fields."""
    return api.post(
        "/classifier/predict-batch",
        files={"csv_file": (name, table)},
        data=form,
        headers={"prefer": prefer},
        timeout=310,
    )


def post_audio(api: httpx.Client, files: Files, *, manifest: bytes | None = None, **form: str) -> httpx.Response:
    parts = [("files", (name, content)) for name, content in files.items()]
    if manifest is not None:
        parts.append(("manifest", ("manifest.csv", manifest)))
    return api.post("/classifier/predict-batch", files=parts, data=form)
