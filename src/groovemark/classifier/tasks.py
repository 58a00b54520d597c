"""The classifier's jobs, as a worker runs them: claim, do, record the end. Executed at least once, recorded once."""

from __future__ import annotations

import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any

from groovemark.classifier.classify_audio import classify_audio
from groovemark.classifier.classify_csv import classify_csv
from groovemark.classifier.export import export_results
from groovemark.context import Context
from groovemark.db import batches, jobs, predictions, result_files
from groovemark.db.jobs import Claim, LeaseLost
from groovemark.db.session import raw_connection
from groovemark.errors import FAULTS_MAX, DatabaseUnavailable, Fault, ServiceError
from groovemark.lease import Cancelled, Lease, Stopping, keep
from groovemark.queue.queue import NotNow

logger = logging.getLogger(__name__)

RETRY_S = 1.0

Work = Callable[[Lease], Awaitable[None]]
Fail = Callable[[Claim, ServiceError], Awaitable[None]]


class AttemptsExhausted(ServiceError):
    """Every worker that tried the job died of it."""

    code = "attempts_exhausted"
    title = "The job could not be finished"

    def __init__(self, attempts: int) -> None:
        super().__init__(f"The job was given up after {attempts} attempts that ended without a result.")


async def classify(context: Context, job_id: uuid.UUID) -> None:
    """Classify a batch."""
    held = await _claim(context, job_id)
    if held is None:
        return
    async with context.database.transaction() as connection:
        batch = await batches.find_by_job(connection, job_id)
        if batch is None:
            return
        await batches.start(connection, batch["id"])
    run = classify_csv if batch["kind"] == "csv" else classify_audio

    async def fail(claim: Claim, error: ServiceError) -> None:
        await _end_batch(context, claim, batch["id"], "failed", error)

    async def cancel(claim: Claim) -> None:
        await _end_batch(context, claim, batch["id"], "cancelled", None)

    await _work(context, held, lambda lease: run(context, batch, lease), fail=fail, cancel=cancel)


async def export(context: Context, job_id: uuid.UUID) -> None:
    """Write a batch's results as a file."""
    held = await _claim(context, job_id)
    if held is None:
        return
    async with context.database.transaction() as connection:
        wanted = await result_files.find_by_job(connection, job_id)
        catalog_id = await jobs.catalog_of(connection, job_id)
    if wanted is None:
        return

    async def fail(claim: Claim, error: ServiceError) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, claim)
            await jobs.finish(connection, claim, "failed", error=_described(error))

    async def cancel(claim: Claim) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, claim)
            await jobs.finish(connection, claim, "cancelled")

    await _work(
        context,
        held,
        lambda lease: export_results(context, wanted.batch_id, catalog_id, lease),
        fail=fail,
        cancel=cancel,
    )


async def _claim(context: Context, job_id: uuid.UUID) -> Claim | None:
    """The job, unless it has ended. Raises NotNow while another worker's lease runs."""
    async with context.database.transaction() as connection:
        held = await jobs.claim(connection, job_id, lease_s=context.lease_s)
        if held is not None:
            return held
        status = await jobs.status(connection, job_id)
    if status is None or status.state in jobs.FINAL_STATES:
        return None
    # Leased by another worker, or released a moment ago: in either case it has not ended, and must not be forgotten.
    raise NotNow(context.lease_s / 2 if status.is_leased else RETRY_S, "another worker had the job")


async def _work(
    context: Context,
    held: Claim,
    work: Work,
    *,
    fail: Fail,
    cancel: Callable[[Claim], Awaitable[None]],
) -> None:
    """Run `work` under the lease and see to its end, whatever it is."""
    try:
        if held.attempt > context.attempts_max:
            await fail(held, AttemptsExhausted(context.attempts_max))
            return
        async with keep(context.database, held, lease_s=context.lease_s, stopping=context.stopping) as lease:
            await work(lease)
    except LeaseLost:
        logger.warning("job %s: the lease was lost, nothing was written", held.job_id)
    except Stopping as error:
        async with context.database.transaction() as connection:
            await jobs.release(connection, held)
        raise NotNow(0, "the worker is stopping") from error
    except Cancelled:
        await cancel(held)
    except DatabaseUnavailable as error:
        # The lease runs out by itself; then the job is taken up again.
        raise NotNow(context.lease_s, "the database went away") from error
    except ServiceError as error:
        await fail(held, error)
    except Exception:
        logger.exception("job %s failed", held.job_id)
        await fail(held, ServiceError("An unexpected error happened; the service's log tells more."))


async def _end_batch(
    context: Context, claim: Claim, batch_id: uuid.UUID, state: str, error: ServiceError | None
) -> None:
    try:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, claim)
            if error is not None:
                faults: list[tuple[int | None, Fault]] = [(None, fault) for fault in error.faults[:FAULTS_MAX]]
                await predictions.add_faults(await raw_connection(connection), batch_id, faults)
            described = _described(error) if error else None
            await batches.finish(connection, batch_id, state, error=described)
            await jobs.finish(connection, claim, state, error=described)
    except LeaseLost:
        logger.warning("job %s: the lease was lost, nothing was written", claim.job_id)


def _described(error: ServiceError) -> dict[str, Any]:
    return {"code": error.code, "status": error.status, "title": error.title, "detail": error.message}
