"""The error body and the samples, which every resource's routes document."""

from __future__ import annotations

import json
from importlib import resources
from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class ErrorInfo(BaseModel):
    """The error as clients of the service that groovemark replaces read it."""

    model_config = ConfigDict(populate_by_name=True)

    error_code: str = Field(alias="errorCode", description="Stable and machine-readable.")
    message: str


class ErrorPlace(BaseModel):
    """One thing wrong, and where."""

    item: str | None = Field(None, description="External id or file name.")
    line: int | None = Field(None, description="Physical line of the file; the header is line 1.")
    column: str | None = Field(None, description="Column, form field or parameter.")
    code: str
    message: str


class Problem(BaseModel):
    """Every error: RFC 9457 problem details, with the places that are wrong."""

    type: str
    title: str
    status: int
    detail: str
    instance: str
    status_code: int
    info: ErrorInfo
    errors: list[ErrorPlace] = Field(description="At most the first 100.")


COMPONENTS = "#/components/schemas/{model}"


def describe_problem(description: dict[str, Any]) -> dict[str, Any]:
    """Add the error body to an OpenAPI description; FastAPI itself knows only bodies of application/json."""
    schema = Problem.model_json_schema(by_alias=True, ref_template=COMPONENTS)
    description["components"]["schemas"] |= {**schema.pop("$defs"), "Problem": schema}
    return description


def sample(package: str, name: str) -> Any:
    """The JSON sample `schema/response_json/<name>.json` of a resource."""
    text = resources.files(package).joinpath("schema", "response_json", f"{name}.json").read_text("utf-8")
    return json.loads(text)


def documented(package: str, name: str, description: str, **more: Any) -> dict[str, Any]:
    """An OpenAPI response whose example is a sample file."""
    return {
        "description": description,
        "content": {"application/json": {"example": sample(package, name)}},
        **more,
    }


_ERRORS = {
    400: "The request cannot be read.",
    401: "No such client, or a wrong or missing secret.",
    403: "The client lacks the scope.",
    404: "There is no such thing in the client's catalog.",
    409: "Not possible in the present state.",
    410: "It was removed after its time.",
    413: "A limit was passed; nothing was stored.",
    415: "The file is not of a kind that can be read.",
    422: "The input was read and found wrong; `errors` says where.",
    429: "Enough of this client's is waiting for the workers; try again after Retry-After.",
    503: "The queue is full, or the database, the store or a worker is not available; try again after Retry-After.",
    507: "The service's disk is full; nothing was stored.",
}


def errors(*statuses: int) -> dict[int | str, dict[str, Any]]:
    """OpenAPI responses for the errors of a route."""
    return {
        status: {
            "description": _ERRORS[status],
            "content": {"application/problem+json": {"schema": {"$ref": COMPONENTS.format(model="Problem")}}},
        }
        for status in statuses
    }
