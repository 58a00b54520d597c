"""A batch as the answer to what was done to it. Apart from `present`, because a worker loads no web framework."""

from __future__ import annotations

from http import HTTPStatus

from fastapi.responses import JSONResponse
from sqlalchemy import RowMapping

from groovemark.classifier.present import batch, batch_path


def accepted(row: RowMapping, *, status: int = HTTPStatus.ACCEPTED) -> JSONResponse:
    return JSONResponse(batch(row).model_dump(mode="json"), status, headers={"Location": batch_path(row["id"])})
