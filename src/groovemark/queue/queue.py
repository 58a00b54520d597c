"""The job queue: pgqueuer on the service's own database. No other module names the library.

A queue row carries a job's id and nothing else: queue rows go when the work is done, jobs stay.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping
from datetime import timedelta

import asyncpg
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager, RetryRequested
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.errors import FailingListenerError

logger = logging.getLogger(__name__)

Handler = Callable[[uuid.UUID], Awaitable[None]]

# The library wants at least twice its batch size; two running jobs keep a small batch from waiting behind a large one.
BATCH_SIZE = 1
JOBS_AT_ONCE = 2
RECONNECT_PAUSE_S = 1.0
TRY_AGAIN_S = 5.0


class NotNow(Exception):
    """A handler raises it to be called again after `delay_s`."""

    def __init__(self, delay_s: float, reason: str) -> None:
        super().__init__(reason)
        self.delay_s = delay_s


def install_sql() -> str:
    """The queue's own tables, for the migration."""
    return QueryBuilderEnvironment().build_install_query()


def uninstall_sql() -> str:
    return QueryBuilderEnvironment().build_uninstall_query()


async def enqueue(connection: asyncpg.Connection, kind: str, job_id: uuid.UUID) -> None:
    """Queue a job; it becomes visible when the connection's transaction commits, or never."""
    await Queries(AsyncpgDriver(connection)).enqueue(kind, job_id.bytes)


async def consume(
    open_connection: Callable[[], Awaitable[asyncpg.Connection]],
    handlers: Mapping[str, Handler],
    *,
    lease_s: float,
    stop: asyncio.Event,
) -> None:
    """Run handlers for queued jobs until `stop` is set, then let running ones end.

    A lost connection is opened again; the jobs of a dead worker come back after the lease.
    """
    while not stop.is_set():
        try:
            await _consume_once(open_connection, handlers, lease_s=lease_s, stop=stop)
        except (OSError, asyncpg.PostgresError, asyncpg.InterfaceError, FailingListenerError, TimeoutError) as error:
            logger.warning("queue connection lost, trying again: %s", error)
            await _pause(stop, RECONNECT_PAUSE_S)


async def _consume_once(
    open_connection: Callable[[], Awaitable[asyncpg.Connection]],
    handlers: Mapping[str, Handler],
    *,
    lease_s: float,
    stop: asyncio.Event,
) -> None:
    connection = await open_connection()
    try:
        manager = QueueManager(Queries(AsyncpgDriver(connection)))
        for kind, handler in handlers.items():
            manager.entrypoint(kind, on_failure="hold", accepts_context=False)(_entrypoint(handler))
        watcher = asyncio.create_task(_forward(stop, manager.shutdown))
        try:
            await manager.run(
                dequeue_timeout=timedelta(seconds=min(lease_s, 5)),
                batch_size=BATCH_SIZE,
                max_concurrent_tasks=JOBS_AT_ONCE,
                shutdown_on_listener_failure=True,
                heartbeat_timeout=timedelta(seconds=lease_s),
            )
        finally:
            watcher.cancel()
    finally:
        await connection.close(timeout=RECONNECT_PAUSE_S)


def _entrypoint(handler: Handler) -> Callable[[Job], Awaitable[None]]:
    async def run(job: Job) -> None:
        if job.payload is None:
            raise ValueError(f"queue row {job.id} carries no job id")
        try:
            await handler(uuid.UUID(bytes=job.payload))
        except NotNow as error:
            raise RetryRequested(delay=timedelta(seconds=error.delay_s), reason=str(error)) from error
        except Exception as error:
            # A handler records a job's failure itself; if even that failed, the job must not be forgotten.
            logger.exception("job %s: its end could not be recorded, trying again", uuid.UUID(bytes=job.payload))
            raise RetryRequested(delay=timedelta(seconds=TRY_AGAIN_S), reason=type(error).__name__) from error

    return run


async def _forward(stop: asyncio.Event, shutdown: asyncio.Event) -> None:
    await stop.wait()
    shutdown.set()


async def _pause(stop: asyncio.Event, seconds: float) -> None:
    try:
        async with asyncio.timeout(seconds):
            await stop.wait()
    except TimeoutError:
        return
