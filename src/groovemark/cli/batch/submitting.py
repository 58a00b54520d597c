"""Files of this machine as a batch, which may be begun by one command and completed by another."""

from __future__ import annotations

import contextlib
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import httpx
import typer
from rich.console import Console
from rich.progress import Progress

from groovemark.cli.batch.connection import Refused, asked
from groovemark.cli.batch.files import LocalFile, collect, group, local_file
from groovemark.cli.batch.sending import Sender, is_passing, until_answered
from groovemark.errors import RequestRejected

PAGE_ITEMS = 1000


@dataclass(frozen=True, slots=True)
class Audio:
    """What a batch is to hold."""

    files: Sequence[LocalFile]
    manifest: LocalFile | None


def submit(
    api: httpx.Client,
    paths: Sequence[Path],
    *,
    model: str | None,
    task: str | None,
    manifest: Path | None,
    resumed: uuid.UUID | None,
) -> str:
    """Send one CSV, or audio files, a manifest, or both; answers the batch's id.

    Raises RequestRejected, Refused, or httpx.TransportError when the service stays away.
    """
    wanted = {name: value for name, value in (("model", model), ("task", task)) if value is not None}
    if any(path.name.lower().endswith((".csv", ".csv.gz")) for path in paths):
        if len(paths) > 1 or manifest is not None or resumed is not None:
            raise RequestRejected("A CSV of features is a batch of its own; a manifest is given as --manifest.")
        return _send_table(api, local_file(paths[0]), wanted)
    if not paths and manifest is None:
        raise RequestRejected("There is nothing to send; name files, folders, or a --manifest of URLs.")
    audio = Audio(collect(paths) if paths else (), local_file(manifest) if manifest else None)
    return _send_audio(api, audio, wanted) if resumed is None else _resume(api, str(resumed), audio)


def _send_table(api: httpx.Client, table: LocalFile, wanted: dict[str, str]) -> str:
    sender = Sender(api, Prefer="respond-async")
    return str(sender.post("/classifier/predict-batch", data=wanted, files=[("csv_file", table)])["id"])


def _send_audio(api: httpx.Client, audio: Audio, wanted: dict[str, str]) -> str:
    """Open a batch, add all files, start it. It is cancelled when the service will not have what it is to hold."""
    batch_id = str(Sender(api).post("/classifier/batches", json=wanted)["id"])
    typer.echo(f"Opened batch {batch_id}", err=True)
    try:
        with _left_open(batch_id):
            _complete(api, batch_id, audio)
    except (RequestRejected, Refused) as error:
        if _is_final(error):
            with contextlib.suppress(Refused, httpx.TransportError):
                Sender(api).post(f"{_path(batch_id)}/cancel")
        raise
    return batch_id


def _resume(api: httpx.Client, batch_id: str, audio: Audio) -> str:
    """Add the files that an open batch lacks, and start it."""
    state = until_answered(partial(asked, api, "GET", _path(batch_id))).json()["state"]
    if state != "open":
        typer.echo(f"The batch is {state}; nothing more is sent.", err=True)
        return batch_id
    with _left_open(batch_id):
        there = set(_item_ids(api, batch_id))
        _complete(api, batch_id, replace(audio, files=[file for file in audio.files if file.name not in there]))
    return batch_id


def _item_ids(api: httpx.Client, batch_id: str) -> Iterator[str]:
    """Of an open batch, these are the names of its files, but for zips."""
    page: httpx.QueryParams | None = httpx.QueryParams(limit=PAGE_ITEMS)
    while page is not None:
        answer = until_answered(partial(asked, api, "GET", f"{_path(batch_id)}/items", params=page))
        yield from (item["external_id"] for item in answer.json()["items"])
        following = answer.links.get("next")
        page = httpx.URL(following["url"]).params if following else None


def _complete(api: httpx.Client, batch_id: str, audio: Audio) -> None:
    # Keys of the batch's own: a request whose answer was lost is not carried out again by the command that resumes.
    sender, path = Sender(api, keys=uuid.UUID(batch_id)), _path(batch_id)
    with Progress(console=Console(stderr=True), transient=True) as bars:
        bar = bars.add_task("sending", total=sum(file.size_bytes for file in audio.files))
        if audio.manifest is not None:
            sender.post(f"{path}/files", files=[("manifest", audio.manifest)])
        for together in group(audio.files):
            sender.post(f"{path}/files", files=[("files", file) for file in together])
            bars.advance(bar, sum(file.size_bytes for file in together))
        sender.post(f"{path}/start")


@contextlib.contextmanager
def _left_open(batch_id: str) -> Iterator[None]:
    """When something comes between, it is said how to go on."""
    try:
        yield
    except (RequestRejected, Refused, httpx.TransportError, KeyboardInterrupt) as error:
        if not _is_final(error):
            typer.echo(
                f"Batch {batch_id} keeps what it has. To go on: groovemark batch submit --resume {batch_id}, with the "
                f"same files. To give it up: groovemark batch cancel {batch_id}",
                err=True,
            )
        if isinstance(error, KeyboardInterrupt):
            raise typer.Exit(130) from None
        raise


def _is_final(error: BaseException) -> bool:
    """What was to be sent is at fault, not the service or the connection."""
    if isinstance(error, Refused):
        return error.answer.is_client_error and not is_passing(error)
    return isinstance(error, RequestRejected)


def _path(batch_id: str) -> str:
    return f"/classifier/batches/{batch_id}"
