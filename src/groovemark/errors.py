"""Every error that a user of groovemark can meet: one tree, each with its code and HTTP status.

The module knows no framework: `handlers` turns these into responses, the CLI into lines on stderr.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import ClassVar

FAULTS_MAX = 100
"""An error names the first of its faults, and no more than these."""

CELL_CHARACTERS_MAX = 64
"""No more of an offending cell than this ever leaves the service."""


def shorten(cell: str) -> str:
    """The cell as an error message may show it: at most 64 characters, on one line."""
    text = " ".join(cell.split()) if cell.isprintable() else ascii(cell)[1:-1]
    return text if len(text) <= CELL_CHARACTERS_MAX else text[: CELL_CHARACTERS_MAX - 1] + "…"


@dataclass(frozen=True, slots=True)
class Fault:
    """One thing wrong at one place of the input; a row of the `errors` list of an error body."""

    code: str
    message: str
    item: str | None = None
    line: int | None = None
    column: str | None = None

    def as_dict(self) -> dict[str, str | int]:
        fields = {
            "item": self.item,
            "line": self.line,
            "column": self.column,
            "code": self.code,
            "message": self.message,
        }
        return {name: value for name, value in fields.items() if value is not None}


class ServiceError(Exception):
    """Root of the tree. `code` is stable and machine-readable; the message says what to do."""

    code: ClassVar[str] = "unhandled_error"
    status: ClassVar[int] = 500
    title: ClassVar[str] = "Something went wrong"
    retry: ClassVar[bool] = False

    def __init__(self, message: str, *, faults: Sequence[Fault] = ()) -> None:
        super().__init__(message)
        self.message = message
        self.faults = tuple(faults)

    @property
    def headers(self) -> Mapping[str, str]:
        """HTTP headers that belong to the error, such as Retry-After."""
        return {}


class Unauthorized(ServiceError):
    """No such client, or a wrong or missing secret; which of them is nobody's business."""

    code = "unauthorized_error"
    status = 401
    title = "Unauthorized"

    def __init__(self) -> None:
        super().__init__("Unauthorized. Did you pass in the correct headers?")


class Forbidden(ServiceError):
    """The client is known but lacks the scope."""

    code = "forbidden"
    status = 403
    title = "Not allowed"

    def __init__(self, *, scope: str) -> None:
        super().__init__(f"This client lacks the scope '{scope}'; an operator can add a client that has it.")


class NotFound(ServiceError):
    """Nothing of that name in the client's catalog."""

    code = "not_found"
    status = 404
    title = "Not found"

    def __init__(self, what: str, name: str) -> None:
        super().__init__(f"There is no {what} '{shorten(name)}'.")


class Conflict(ServiceError):
    """The resource is in a state that does not allow the request."""

    code = "conflict"
    status = 409
    title = "Not possible in this state"


class KeyReused(ServiceError):
    """The Idempotency-Key belongs to another request."""

    code = "idempotency_key_reused"
    status = 422
    title = "The Idempotency-Key belongs to another request"

    def __init__(self) -> None:
        super().__init__(
            "A request of other content was sent with this Idempotency-Key; give every request a key of its own."
        )


class KeyInUse(ServiceError):
    """The first request of this Idempotency-Key has not been answered yet."""

    code = "idempotency_key_in_use"
    status = 409
    title = "The first request has not been answered yet"
    retry = True

    def __init__(self) -> None:
        super().__init__("The first request with this Idempotency-Key is still running; send it again in a moment.")

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "1"}


class Gone(ServiceError):
    """It was there, and was removed after its time."""

    code = "gone"
    status = 410
    title = "No longer there"


class FileTypeRejected(ServiceError):
    """The bytes, or the name, are not of a kind that can be read."""

    code = "file_type_error"
    status = 415
    title = "File type not supported"


class InputRejected(ServiceError):
    """The input was read and found wrong."""

    code = "input_data_schema_error"
    status = 422
    title = "Input data did not pass validation"


class RequestRejected(ServiceError):
    """A parameter, header or form field is missing or has a value that cannot be used."""

    code = "request_error"
    status = 422
    title = "The request is not valid"


class MalformedRequest(ServiceError):
    """The request body cannot be parsed at all."""

    code = "malformed_request"
    status = 400
    title = "The request cannot be read"


class TooLarge(ServiceError):
    """A limit was passed before anything was stored."""

    code = "too_large"
    status = 413
    title = "Too large"


class StorageFull(ServiceError):
    """The disk has no room for the upload."""

    code = "storage_full"
    status = 507
    title = "No room to store the upload"
    retry = True


class Unavailable(ServiceError):
    """Something the request needs is not there at the moment; trying again later may help."""

    code = "service_unavailable"
    status = 503
    title = "Not available at the moment"
    retry = True

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": "5"}


class QueueFull(ServiceError):
    """So much is waiting for the workers that more would only wait longer."""

    code = "queue_full"
    status = 503
    title = "The queue is full"
    retry = True

    def __init__(self, message: str, *, retry_after_s: int) -> None:
        super().__init__(message)
        self._retry_after_s = retry_after_s

    @property
    def headers(self) -> Mapping[str, str]:
        return {"Retry-After": str(self._retry_after_s)}


class ClientQueueFull(QueueFull):
    """This client has as much waiting as one client may; others may still send."""

    status = 429
    title = "Too much of this client's is waiting"


class DatabaseUnavailable(Unavailable):
    """PostgreSQL did not answer."""

    code = "postgres_error"
    title = "The database is not available"

    def __init__(self) -> None:
        super().__init__("The database did not answer; try again in a moment.")


class StorageUnavailable(Unavailable):
    """The store of uploads and result files did not answer, or refused."""

    code = "storage_unavailable"
    title = "The store is not available"


class ModelRejected(ServiceError):
    """A model's files are damaged, unsafe or do not fit the features given to them."""

    code = "model_error"
    status = 422
    title = "The model cannot be used"


class ModelUnavailable(ModelRejected):
    """A sound model needs something that is not on this machine: imported weights, or a library."""

    code = "model_unavailable"


class AudioRejected(ServiceError):
    """One audio file cannot be turned into features; `code` differs by reason."""

    status = 422
    title = "The audio cannot be read"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """undecodable, unsupported_media_type, too_short, too_long, too_many_channels, silent_stream, decoder_crashed,
        decoder_timed_out or not_finite."""


class FetchFailed(ServiceError):
    """What a URL leads to may not be fetched, or cannot be had; `reason` says which. The message names no URL."""

    code = "url_error"
    status = 422
    title = "The URL cannot be used"

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason
        """url_forbidden, url_unreachable, url_too_large, url_too_slow or url_status."""


class ConfigurationError(ServiceError):
    """The operator's settings contradict themselves or are unsafe; raised at start, never in a request."""

    code = "configuration_error"
