"""A batch's results as a file: it appears whole or not at all."""

from __future__ import annotations

import os
import tempfile
import time
from pathlib import Path

import httpx

from groovemark.cli.batch.connection import Refused
from groovemark.errors import RequestRejected

FORMATS = ("csv", "jsonl", "parquet")
ATTEMPTS = 10
PAUSE_S = 3.0


def format_of(path: Path) -> str:
    """Raises RequestRejected when the name does not say it."""
    found = path.suffix.lower().removeprefix(".")
    if found not in FORMATS:
        raise RequestRejected(f"'{path.name}' must end in one of {', '.join('.' + name for name in FORMATS)}.")
    return found


def download(api: httpx.Client, batch_path: str, target: Path) -> int:
    """Answers how many bytes it has. A Parquet file that is being written, or a service that is away, is waited for."""
    address = f"{batch_path}/results.{format_of(target)}"
    for attempt in range(ATTEMPTS):
        try:
            return _download(api, address, target)
        except httpx.TransportError:
            if attempt == ATTEMPTS - 1:
                raise
        except Refused as error:
            if attempt == ATTEMPTS - 1 or "retry-after" not in error.answer.headers:
                raise
        time.sleep(PAUSE_S)
    raise AssertionError("the last attempt returns or raises")


def _download(api: httpx.Client, address: str, target: Path) -> int:
    with api.stream("GET", address) as answer:
        if answer.is_error:
            answer.read()
            raise Refused(answer)
        try:
            return _write(answer, target)
        except OSError as error:
            raise RequestRejected(f"{target} cannot be written: {error.strerror}.") from error


def _write(answer: httpx.Response, target: Path) -> int:
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    unfinished = Path(name)
    try:
        with os.fdopen(descriptor, "wb") as file:
            for piece in answer.iter_bytes():
                file.write(piece)
            size = file.tell()
        umask = os.umask(0)
        os.umask(umask)
        unfinished.chmod(0o666 & ~umask)
        unfinished.replace(target)
    finally:
        unfinished.unlink(missing_ok=True)
    return size
