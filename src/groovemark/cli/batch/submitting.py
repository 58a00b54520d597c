"""Files of this machine to a batch: collected, sent in requests of bounded size, each of which can be repeated."""

from __future__ import annotations

import contextlib
import time
import uuid
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console
from rich.progress import Progress

from groovemark.cli.batch.connection import Refused
from groovemark.errors import RequestRejected

SUFFIXES = frozenset({".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".mp4", ".aac", ".zip"})
REQUEST_FILES_MAX = 100
REQUEST_BYTES_MAX = 64 * 1024 * 1024
ATTEMPTS = 8
PAUSE_S_MAX = 30.0
_AGAIN = frozenset({429, 502, 503, 504})


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file and the name that it is sent under, which becomes its id."""

    path: Path
    name: str
    size_bytes: int


def collect(paths: Sequence[Path]) -> list[LocalFile]:
    """The files themselves, and of folders all audio and zips below them. Raises RequestRejected."""
    found = [file for path in paths for file in _files(path)]
    if not found:
        raise RequestRejected(f"There are no files to send; of folders, {', '.join(sorted(SUFFIXES))} are sent.")
    by_name: dict[str, LocalFile] = {}
    for file in found:
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise RequestRejected(
                f"{other.path} and {file.path} would both be called '{file.name}'; send their folder."
            )
    return found


def _files(path: Path) -> Iterator[LocalFile]:
    try:
        if not path.is_dir():
            yield LocalFile(path, path.name, path.stat().st_size)
            return
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                yield LocalFile(file, file.relative_to(path).as_posix(), file.stat().st_size)
    except OSError as error:
        raise RequestRejected(f"{error.filename or path} cannot be read: {error.strerror}.") from error


def group(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """As many files as a request is to hold; one that is larger goes alone."""
    together: list[LocalFile] = []
    size = 0
    for file in files:
        if together and (len(together) == REQUEST_FILES_MAX or size + file.size_bytes > REQUEST_BYTES_MAX):
            yield together
            together, size = [], 0
        together.append(file)
        size += file.size_bytes
    if together:
        yield together


class Sender:
    """Sends each request under a key of its own, so that it can be sent again until it is answered."""

    def __init__(self, api: httpx.Client, **headers: str) -> None:
        self._api, self._headers = api, headers
        self._keys = (f"{uuid.uuid4()}-{number}" for number in range(10**9))

    def post(
        self, path: str, *, json: Any = None, data: Any = None, files: Sequence[tuple[str, LocalFile]] = ()
    ) -> Any:
        """The answer's JSON. Raises Refused, or httpx.TransportError when the service stays away."""
        headers = {**self._headers, "Idempotency-Key": next(self._keys)}
        for attempt in range(ATTEMPTS):
            try:
                with ExitStack() as opened:
                    parts = [(field, (file.name, opened.enter_context(_open(file)))) for field, file in files]
                    answer = self._api.post(path, json=json, data=data, files=parts or None, headers=headers)
            except httpx.TransportError:
                if attempt == ATTEMPTS - 1:
                    raise
                time.sleep(min(2.0**attempt, PAUSE_S_MAX))
                continue
            if answer.is_success:
                return answer.json()
            if attempt == ATTEMPTS - 1 or not _is_passing(answer):
                break
            time.sleep(_pause_s(answer))
        raise Refused(answer)


def _open(file: LocalFile) -> Any:
    try:
        return file.path.open("rb")
    except OSError as error:
        raise RequestRejected(f"{file.path} cannot be read: {error.strerror}.") from error


def _is_passing(answer: httpx.Response) -> bool:
    """Too much to do, or away, or the first request with this key is still under way."""
    return answer.status_code in _AGAIN or "retry-after" in answer.headers


def _pause_s(answer: httpx.Response) -> float:
    given = answer.headers.get("retry-after", "")
    return min(float(given), PAUSE_S_MAX) if given.isdigit() else 1.0


def submit(
    api: httpx.Client, paths: Sequence[Path], *, model: str | None, task: str | None, manifest: Path | None
) -> str:
    """Send one CSV, or any number of audio files; answers the batch's id. Raises RequestRejected, Refused."""
    if any(path.name.lower().endswith((".csv", ".csv.gz")) for path in paths):
        if len(paths) > 1 or manifest is not None:
            raise RequestRejected("A CSV of features is a batch of its own; a manifest is given as --manifest.")
        return _send_table(api, paths[0], model=model, task=task)
    return _send_audio(api, collect(paths), model=model, task=task, manifest=manifest)


def _send_table(api: httpx.Client, path: Path, *, model: str | None, task: str | None) -> str:
    form = {name: value for name, value in (("model", model), ("task", task)) if value is not None}
    table = next(_files(path))
    answer = Sender(api, Prefer="respond-async").post(
        "/classifier/predict-batch", data=form, files=[("csv_file", table)]
    )
    return str(answer["id"])


def _send_audio(
    api: httpx.Client, files: Sequence[LocalFile], *, model: str | None, task: str | None, manifest: Path | None
) -> str:
    """Open a batch, add all files, start it. A batch that cannot be completed is cancelled."""
    sender = Sender(api)
    asked = {name: value for name, value in (("model", model), ("task", task)) if value is not None}
    batch_id = str(sender.post("/classifier/batches", json=asked)["id"])
    path = f"/classifier/batches/{batch_id}"
    try:
        with Progress(console=Console(stderr=True), transient=True) as bars:
            bar = bars.add_task("sending", total=sum(file.size_bytes for file in files))
            if manifest is not None:
                sender.post(f"{path}/files", files=[("manifest", next(_files(manifest)))])
            for together in group(files):
                sender.post(f"{path}/files", files=[("files", file) for file in together])
                bars.advance(bar, sum(file.size_bytes for file in together))
        sender.post(f"{path}/start")
    except (RequestRejected, Refused, KeyboardInterrupt):
        with contextlib.suppress(Refused, httpx.TransportError):
            sender.post(f"{path}/cancel")
        raise
    return batch_id
