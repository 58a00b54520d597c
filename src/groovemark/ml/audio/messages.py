"""What a sandbox and its children say to each other: one line of JSON, then raw float32. Never pickle.

The parent trusts nothing that comes back: a child has read hostile bytes.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import AudioRejected

LINE_BYTES_MAX = 64 * 1024
NUMBERS_MAX = 1 << 24

REASONS = frozenset(
    {
        "undecodable",
        "unsupported_media_type",
        "too_short",
        "too_long",
        "too_many_channels",
        "silent_stream",
        "decoder_crashed",
        "not_finite",
    }
)
"""Of AudioRejected; the ones a child may give."""


@dataclass(frozen=True, slots=True)
class FileFeatures:
    """One audio file as a model takes it.

    Attributes:
        windows: (w, d) float32, finite, w >= 1.
        title: of the file's tag.
        duration_s: of the decoded audio.
    """

    windows: NDArray[np.float32]
    title: str | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class FileEnd:
    """What is known of a file when the last of its windows has come.

    Attributes:
        title: of the file's tag.
        duration_s: of the decoded audio.
    """

    title: str | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class Rejection:
    """A child's refusal of one file."""

    reason: str
    message: str


Samples = NDArray[np.float32]
"""(time,) of one window; only children that do nothing but decode send them, and a FileEnd after the last."""

Reply = FileFeatures | Samples | FileEnd | Rejection


class ProtocolError(Exception):
    """The other side does not speak this protocol (any more)."""


def not_finite() -> AudioRejected:
    return AudioRejected("not_finite", "The audio holds samples that are not finite or far beyond full scale.")


def encode_request(path: str, spec_name: str) -> bytes:
    return json.dumps({"path": path, "spec": spec_name}).encode() + b"\n"


def decode_request(line: bytes) -> tuple[str, str]:
    request = json.loads(line)
    return request["path"], request["spec"]


def encode_features(features: FileFeatures) -> bytes:
    windows = np.ascontiguousarray(features.windows, dtype=np.float32)
    header = {"shape": windows.shape, "title": features.title, "duration_s": features.duration_s}
    return json.dumps(header).encode() + b"\n" + windows.tobytes()


def encode_samples(samples: Samples) -> bytes:
    return json.dumps({"samples": len(samples)}).encode() + b"\n" + samples.astype(np.float32, copy=False).tobytes()


def encode_end(end: FileEnd) -> bytes:
    return json.dumps({"title": end.title, "duration_s": end.duration_s}).encode() + b"\n"


def encode_rejection(rejection: Rejection) -> bytes:
    return json.dumps({"reason": rejection.reason, "message": rejection.message}).encode() + b"\n"


def decode_reply(line: bytes, read: Callable[[int], bytes | NDArray[np.uint8]]) -> Reply:
    """The reply that begins with `line`; `read` fetches exactly so many bytes more. Raises ProtocolError."""
    try:
        reply = json.loads(line)
        if "reason" in reply:
            return _rejection(reply["reason"], reply["message"])
        if "samples" in reply:
            return _numbers([reply["samples"]], read)
        end = _end(reply["title"], reply["duration_s"])
        if "shape" not in reply:
            return end
        n_windows, n_features = reply["shape"]
        return FileFeatures(_numbers([n_windows, n_features], read), end.title, end.duration_s)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise ProtocolError("a reply cannot be read") from error


def _rejection(reason: object, message: object) -> Rejection:
    if reason not in REASONS or not isinstance(message, str):
        raise ValueError(reason)
    return Rejection(str(reason), message[:1000])


def _end(title: object, duration_s: object) -> FileEnd:
    if not isinstance(duration_s, float) or not math.isfinite(duration_s):
        raise TypeError("duration_s")
    if title is not None and not isinstance(title, str):
        raise TypeError("title")
    return FileEnd(title, duration_s)


def _numbers(shape: list[int], read: Callable[[int], bytes | NDArray[np.uint8]]) -> NDArray[np.float32]:
    """Finite ones, at least one."""
    if not all(type(size) is int and size >= 1 for size in shape):
        raise ValueError("shape")
    count = math.prod(shape)
    if count > NUMBERS_MAX:
        raise ValueError("shape")
    numbers = np.frombuffer(read(4 * count), dtype=np.float32)
    if not np.isfinite(numbers).all():
        raise ValueError("not finite")
    return numbers.reshape(shape)
