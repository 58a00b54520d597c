"""Taking a submission in: choose, check, store the rows and the job together, wait."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable
from dataclasses import dataclass

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier.kinds import CLASSIFY
from groovemark.db import batches, jobs, models
from groovemark.db.batches import NewBatch, NewItem, NewUpload
from groovemark.db.clients import Caller
from groovemark.db.models import AUDIO_DEFAULT, DEFAULT_TASK, ModelRow
from groovemark.db.session import raw_connection
from groovemark.dependencies import Services
from groovemark.errors import Conflict, FileTypeRejected, NotFound, RequestRejected, shorten
from groovemark.ingest.sniff import sniff
from groovemark.ingest.uploads import ReceivedFile, ReceivedForm
from groovemark.queue import queue

CSV_SUFFIXES = (".csv", ".csv.gz")


@dataclass(frozen=True, slots=True)
class Submission:
    """A form that makes sense: one CSV, or audio."""

    kind: str
    task: str
    model: str | None
    on_error: str
    files: tuple[ReceivedFile, ...]
    manifest: ReceivedFile | None


def read_form(form: ReceivedForm) -> Submission:
    """Raises RequestRejected or FileTypeRejected when the form's parts do not go together."""
    tables, audio, manifests = form.of("csv_file"), form.of("files"), form.of("manifest")
    if len(tables) + bool(audio) != 1:
        raise RequestRejected("Send either one csv_file or one or more audio files as files.")
    if len(manifests) > 1 or (manifests and tables):
        raise RequestRejected("A manifest belongs to audio files, and there can be one.")
    for table in tables:
        if not table.file_name.lower().endswith(CSV_SUFFIXES):
            raise FileTypeRejected(
                f"The extension of input file `{table.file_name}` is not supported. Only `.csv` files can be processed."
            )
    on_error = form.texts.get("on_error") or "reject"
    if on_error not in ("reject", "skip"):
        raise RequestRejected("on_error must be reject or skip.")
    return Submission(
        kind="csv" if tables else "audio",
        task=form.texts.get("task") or DEFAULT_TASK,
        model=form.texts.get("model") or None,
        on_error=on_error,
        files=tables or audio,
        manifest=manifests[0] if manifests else None,
    )


async def accept(services: Services, caller: Caller, submission: Submission, *, keep: Callable[[], None]) -> uuid.UUID:
    """Have the files kept, then record the batch and queue its job: both or neither."""
    async with services.database.transaction() as connection:
        model = await _choose_model(connection, caller, submission)
    await asyncio.to_thread(keep)
    async with services.database.transaction() as connection:
        job_id = await jobs.create(connection, kind=CLASSIFY, catalog_id=caller.catalog_id)
        files = [_upload(file) for file in submission.files]
        manifest = [_upload(submission.manifest)] if submission.manifest else []
        batch_id = await batches.create(
            connection,
            NewBatch(
                catalog_id=caller.catalog_id,
                client_id=caller.client_id,
                kind=submission.kind,
                task=submission.task,
                on_error=submission.on_error,
                model_requested=submission.model,
                model_version_id=model.id if model else None,
            ),
            job_id=job_id,
            uploads=[*files, *manifest],
            items=_items(files) if submission.kind == "audio" else [],
        )
        await queue.enqueue(await raw_connection(connection), CLASSIFY, job_id)
    return batch_id


def _upload(file: ReceivedFile) -> NewUpload:
    return NewUpload(
        field=file.field,
        file_name=file.file_name,
        sha256=file.stored.sha256,
        size_bytes=file.stored.size_bytes,
        format=sniff(file.head),
    )


def _items(files: list[NewUpload]) -> list[NewItem]:
    """Every audio file is an item; what a zip holds, the worker finds out."""
    return [
        NewItem(external_id=file.file_name, title=None, upload_number=number)
        for number, file in enumerate(files)
        if file.format != "zip"
    ]


async def _choose_model(connection: AsyncConnection, caller: Caller, submission: Submission) -> ModelRow | None:
    """The model asked for, or the one for audio; None leaves it to the CSV's header."""
    known = await models.active(connection, catalog_id=caller.catalog_id, task=submission.task)
    if not known:
        tasks = await models.tasks(connection, catalog_id=caller.catalog_id)
        asked = shorten(submission.task)
        raise RequestRejected(f"No model does the task '{asked}'; there are models for {', '.join(tasks)}.")
    if submission.model is not None:
        chosen = _named(known, submission.model)
        if submission.kind == "audio" and not chosen.takes_audio:
            raise RequestRejected(f"The model {chosen.full_name} takes CSV tables, not audio.")
        return chosen
    if submission.kind == "csv":
        return None
    for_audio = [model for model in known if model.takes_audio]
    if not for_audio:
        raise RequestRejected(f"No model of the task '{submission.task}' takes audio.")
    return next((model for model in for_audio if model.alias == AUDIO_DEFAULT), for_audio[0])


def _named(known: list[ModelRow], name: str) -> ModelRow:
    for model in known:
        if name in (model.name, model.full_name):
            return model
    names = ", ".join(model.full_name for model in known)
    raise RequestRejected(f"There is no model '{shorten(name)}' for this task; installed are {names}.")


async def find(services: Services, caller: Caller, batch_id: uuid.UUID) -> RowMapping:
    """A batch of the caller's catalog. Raises NotFound for anyone else's."""
    async with services.database.transaction() as connection:
        row = await batches.find(connection, batch_id, catalog_id=caller.catalog_id)
    if row is None:
        raise NotFound("batch", str(batch_id))
    return row


async def cancel(services: Services, caller: Caller, batch_id: uuid.UUID) -> RowMapping:
    """Ask for an end; what is finished stays. Raises Conflict when the batch has ended already."""
    row = await find(services, caller, batch_id)
    if row["state"] in batches.FINAL_STATES:
        raise Conflict(f"The batch is {row['state']} already; there is nothing to cancel.")
    async with services.database.transaction() as connection:
        await batches.request_cancel(connection, batch_id, row["job_id"])
    return await find(services, caller, batch_id)
