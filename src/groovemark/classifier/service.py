"""Taking a submission in: choose, check, store the rows and the job together; finding and cancelling batches."""

from __future__ import annotations

import asyncio
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier import answers
from groovemark.classifier.choice import choose_model
from groovemark.classifier.ending import end_batch
from groovemark.classifier.kinds import BEGIN
from groovemark.classifier.schema.files import AddedFile
from groovemark.db import batches, cancelling, items, jobs
from groovemark.db.batches import NewBatch, NewUpload
from groovemark.db.clients import Caller
from groovemark.db.items import NewItem
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.db.models import DEFAULT_TASK
from groovemark.db.session import raw_connection
from groovemark.dependencies import Services
from groovemark.errors import Conflict, FileTypeRejected, NotFound, RequestRejected
from groovemark.idempotency import Once
from groovemark.ingest.sniff import sniff
from groovemark.ingest.uploads import ReceivedFile, ReceivedForm
from groovemark.keeping import check_kept
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
    if len(manifests) > 1 or (manifests and tables):
        raise RequestRejected("A manifest belongs to audio files, and there can be one.")
    if len(tables) + bool(audio or manifests) != 1:
        raise RequestRejected(
            "Send either one csv_file, or audio files as files, or a manifest of URLs, or both of these."
        )
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


async def accept(
    services: Services, caller: Caller, submission: Submission, once: Once, *, keep: Callable[[], None]
) -> RowMapping:
    """Have the files kept, then record the batch and queue its job: both or neither."""
    async with services.database.transaction() as connection:
        model = await choose_model(
            connection, caller, kind=submission.kind, task=submission.task, name=submission.model
        )
    await asyncio.to_thread(keep)
    async with services.database.transaction() as connection:
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
        )
        await add_files(services, connection, batch_id, submission.files, submission.manifest)
        await begin(connection, batch_id, caller, kind=submission.kind)
        row = await get(connection, caller, batch_id)
        await once.record(connection, answers.accepted(row))
    services.admission.add(row)
    return row


async def add_files(
    services: Services,
    connection: AsyncConnection,
    batch_id: uuid.UUID,
    files: Sequence[ReceivedFile],
    manifest: ReceivedFile | None,
) -> list[AddedFile]:
    """Record what was received and kept, in the order of the form, and every audio file as an item.

    What a CSV or a zip holds, the worker finds out.
    """
    uploads = [_upload(file) for file in (*files, *([manifest] if manifest else ()))]
    first_number = await batches.add_uploads(connection, batch_id, uploads)
    await check_kept(connection, services.storage, [upload.sha256 for upload in uploads])
    audio = {
        number: NewItem(external_id=upload.file_name, title=None, upload_number=number)
        for number, upload in enumerate(uploads, start=first_number)
        if upload.field == "files" and not upload.is_uncounted
    }
    first_position = await items.append(connection, batch_id, list(audio.values()))
    if audio:
        await batches.add_counts(connection, batch_id, total=len(audio))
    positions = {number: position for position, number in enumerate(audio, start=first_position)}
    return [
        AddedFile(
            field=upload.field,
            file_name=upload.file_name,
            sha256=upload.sha256,
            size_bytes=upload.size_bytes,
            format=upload.format,
            position=positions.get(number),
        )
        for number, upload in enumerate(uploads, start=first_number)
    ]


async def begin(connection: AsyncConnection, batch_id: uuid.UUID, caller: Caller, *, kind: str) -> None:
    """Queue the job that begins the batch, in the caller's transaction. Raises Conflict where it has been begun."""
    job_kind = BEGIN[kind]
    job = await jobs.create(
        connection, kind=job_kind, catalog_id=caller.catalog_id, client_id=caller.client_id, batch_id=batch_id
    )
    if not await batches.queue(connection, batch_id, job.id):
        raise Conflict("The batch has been started already.")
    await queue.enqueue(await raw_connection(connection), job_kind, [job])


def _upload(file: ReceivedFile) -> NewUpload:
    return NewUpload(
        field=file.field,
        file_name=file.file_name,
        sha256=file.stored.sha256,
        size_bytes=file.stored.size_bytes,
        format=sniff(file.head),
    )


async def get(connection: AsyncConnection, caller: Caller, batch_id: uuid.UUID) -> RowMapping:
    """A batch of the caller's catalog. Raises NotFound for anyone else's."""
    row = await batches.find(connection, batch_id, catalog_id=caller.catalog_id)
    if row is None:
        raise NotFound("batch", str(batch_id))
    return row


async def find(services: Services, caller: Caller, batch_id: uuid.UUID) -> RowMapping:
    """The same in a transaction of its own."""
    async with services.database.transaction() as connection:
        return await get(connection, caller, batch_id)


async def cancel(services: Services, caller: Caller, batch_id: uuid.UUID, once: Once) -> RowMapping:
    """Ask for an end; what is finished stays. Raises Conflict when the batch has ended already."""
    async with services.database.transaction() as connection:
        row = await get(connection, caller, batch_id)
        if row["state"] in BATCH_ENDED:
            raise Conflict(f"The batch is {row['state']} already; there is nothing to cancel.")
        if await cancelling.request_cancel(connection, batch_id):
            await end_batch(connection, batch_id, "cancelled")
        row = await get(connection, caller, batch_id)
        await once.record(connection, answers.accepted(row))
    return row
