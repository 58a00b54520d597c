"""The classifier's jobs, as a worker runs them."""

from __future__ import annotations

import uuid

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier.classify_csv import classify_csv
from groovemark.classifier.classify_shard import classify_shard
from groovemark.classifier.ending import end_batch
from groovemark.classifier.export import export_results
from groovemark.classifier.prepare_audio import prepare_audio
from groovemark.classifier.record_shard import settle_shard
from groovemark.classifier.shard import load_shard
from groovemark.context import Context
from groovemark.db import batches, jobs, predictions, result_files
from groovemark.db.jobs import Claim
from groovemark.db.session import raw_connection
from groovemark.errors import FAULTS_MAX, Fault, ServiceError
from groovemark.working import claim, described, work


async def begin(context: Context, job_id: uuid.UUID) -> None:
    """Classify a CSV, or find out what the items of an audio batch are and cut it into shards."""

    async def load(connection: AsyncConnection) -> RowMapping | None:
        found = await batches.find_by_job(connection, job_id)
        if found is not None:
            await batches.start(connection, found["id"])
        return found

    if (claimed := await claim(context, job_id, load)) is None:
        return
    held, batch = claimed
    run = classify_csv if batch["kind"] == "csv" else prepare_audio

    async def fail(held: Claim, error: ServiceError) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, held)
            faults: list[tuple[int | None, Fault]] = [(None, fault) for fault in error.faults[:FAULTS_MAX]]
            await predictions.add_faults(await raw_connection(connection), batch["id"], faults)
            await end_batch(connection, batch["id"], "failed", error=described(error))
            await jobs.finish(connection, held, "failed", error=described(error))

    async def cancel(held: Claim) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, held)
            await end_batch(connection, batch["id"], "cancelled")
            await jobs.finish(connection, held, "cancelled")

    await work(context, held, lambda lease: run(context, batch, lease), fail=fail, cancel=cancel)


async def shard(context: Context, job_id: uuid.UUID) -> None:
    """Classify some files of a batch."""
    if (claimed := await claim(context, job_id, lambda connection: load_shard(connection, job_id))) is None:
        return
    held, found = claimed

    async def cancel(held: Claim) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, held)
            await jobs.finish(connection, held, "cancelled")
            if state := await batches.end_reached(connection, found.batch["id"]):
                await end_batch(connection, found.batch["id"], state)

    await work(
        context,
        held,
        lambda lease: classify_shard(context, found, lease),
        fail=lambda held, error: settle_shard(context, found, held, error),
        cancel=cancel,
        attempts_max=context.attempts_max * (1 + len(found.own)),
    )


async def export(context: Context, job_id: uuid.UUID) -> None:
    """Write a batch's results as a file."""

    async def load(connection: AsyncConnection) -> tuple[uuid.UUID, int] | None:
        wanted = await result_files.find_by_job(connection, job_id)
        job = await jobs.get(connection, job_id)
        return None if wanted is None else (wanted.batch_id, job["catalog_id"])

    if (claimed := await claim(context, job_id, load)) is None:
        return
    held, (batch_id, catalog_id) = claimed

    async def end(held: Claim, state: str, error: ServiceError | None) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, held)
            await jobs.finish(connection, held, state, error=described(error) if error else None)

    await work(
        context,
        held,
        lambda lease: export_results(context, batch_id, catalog_id, lease),
        fail=lambda held, error: end(held, "failed", error),
        cancel=lambda held: end(held, "cancelled", None),
    )
