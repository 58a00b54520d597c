"""Running a job: claim it, work under its lease, and see to its end, whatever that is.

Executed at least once, recorded once: what a job writes is refused when its lease is lost.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import uuid
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.context import Context
from groovemark.db import jobs
from groovemark.db.jobs import Claim, LeaseLost
from groovemark.db.lifecycle import JOB_ENDED
from groovemark.errors import DatabaseUnavailable, ServiceError, StorageFull, Unavailable
from groovemark.lease import Cancelled, Lease, Stopping, keep
from groovemark.queue.queue import NotNow
from groovemark.storage.base import is_no_room, storage_error

logger = logging.getLogger(__name__)

RETRY_S = 1.0
NO_ROOM_RETRY_S = 5.0

Loaded = TypeVar("Loaded")

Work = Callable[[Lease], Awaitable[None]]
Fail = Callable[[Claim, ServiceError], Awaitable[None]]
Cancel = Callable[[Claim], Awaitable[None]]


class AttemptsExhausted(ServiceError):
    """Every worker that tried the job died of it."""

    code = "attempts_exhausted"
    title = "The job could not be finished"

    def __init__(self, attempts: int) -> None:
        super().__init__(f"Given up after {attempts} attempts, each of which ended its worker.")


async def claim(
    context: Context, job_id: uuid.UUID, load: Callable[[AsyncConnection], Awaitable[Loaded | None]]
) -> tuple[Claim, Loaded] | None:
    """The job and what it is about, in one transaction; None where it has ended, or what it was about is gone.

    Raises NotNow while another worker's lease runs, or the database is away.
    """
    token = uuid.uuid4()  # known beforehand: where the commit's answer is lost, the job can still be given back
    try:
        async with context.database.transaction() as connection:
            if (held := await jobs.claim(connection, job_id, token=token, lease_s=context.lease_s)) is not None:
                if (loaded := await load(connection)) is not None:
                    return held, loaded
                await jobs.finish(connection, held, "cancelled")
                return None
            status = await jobs.status(connection, job_id)
    except DatabaseUnavailable as error:
        await _give_back(context, Claim(job_id, token, 0))
        raise NotNow(RETRY_S, error.title) from error
    if status is None or status.state in JOB_ENDED:
        return None
    # Leased by another worker, or released a moment ago: in either case it has not ended, and must not be forgotten.
    raise NotNow(context.lease_s / 2 if status.is_leased else RETRY_S, "another worker had the job")


async def work(
    context: Context, held: Claim, run: Work, *, fail: Fail, cancel: Cancel, attempts_max: int | None = None
) -> None:
    """Run under the lease and see to the end: `run` records success itself, `fail` and `cancel` the other ends.

    `attempts_max`: instead of the worker's own, for jobs that know themselves which part of them ends workers.

    Raises NotNow where the job has not ended: the queue must not forget it, whoever has it now.
    """
    try:
        if held.attempt > (attempts_max or context.attempts_max):
            await fail(held, AttemptsExhausted(held.attempt - 1))
        else:
            await _attempt(context, held, run, fail=fail, cancel=cancel)
    except LeaseLost as error:
        logger.warning("job %s: the lease was lost, nothing was written", held.job_id)
        raise NotNow(context.lease_s / 2, "another worker has the job") from error
    except Stopping as error:
        with contextlib.suppress(DatabaseUnavailable):
            await _release(context, held)
        raise NotNow(0, "the worker is stopping") from error
    except Unavailable as error:  # the database, the store of uploads, the sandbox of a worker that is ending
        await _give_back(context, held)
        raise NotNow(RETRY_S, error.title) from error
    except StorageFull as error:
        logger.warning("job %s waits: this worker's disk is full", held.job_id)
        await _give_back(context, held)
        raise NotNow(NO_ROOM_RETRY_S, error.title) from error


async def _attempt(context: Context, held: Claim, run: Work, *, fail: Fail, cancel: Cancel) -> None:
    try:
        async with keep(context.database, held, lease_s=context.lease_s, stopping=context.stopping) as lease:
            lease.check()
            await run(lease)
    except Cancelled:
        await cancel(held)
    except (LeaseLost, Stopping, Unavailable, StorageFull, NotNow):
        raise
    except ServiceError as error:
        await fail(held, error)
    except Exception as error:
        if is_no_room(error):
            raise storage_error(error) from error
        logger.exception("job %s failed", held.job_id)
        await fail(held, ServiceError("An unexpected error happened; the service's log tells more."))


async def _release(context: Context, held: Claim) -> None:
    async with context.database.transaction() as connection:
        await jobs.release(connection, held)


async def _give_back(context: Context, held: Claim) -> None:
    """What is away is not the job's fault and costs no attempt: wait until the database takes the job back.

    Even when the lease has run out meanwhile: nobody could take the job either. Where somebody has, nothing happens.
    """
    while not context.stopping.is_set():
        try:
            await _release(context, held)
        except DatabaseUnavailable:
            await asyncio.sleep(RETRY_S / 4)
        else:
            return


def described(error: ServiceError) -> dict[str, Any]:
    """The error as jobs and batches keep it."""
    return {"code": error.code, "status": error.status, "title": error.title, "detail": error.message}
