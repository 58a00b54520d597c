"""The job queue: pgqueuer on the service's own database. No other module names the library.

A queue row carries a job's id and nothing else: queue rows go when the work is done, jobs stay. The library drops a row
whoever reports it done, so a row may be missing while its job has not ended; `tend` sees to that.
"""

from __future__ import annotations

import asyncio
import logging
import uuid
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Protocol

import asyncpg
from pgqueuer import AsyncpgDriver, Job, Queries, QueueManager, RetryRequested
from pgqueuer.adapters.persistence.qb import QueryBuilderEnvironment
from pgqueuer.errors import FailingListenerError

logger = logging.getLogger(__name__)

Handler = Callable[[uuid.UUID], Awaitable[None]]

BATCH_SIZE = 1
AT_ONCE_MIN = 2 * BATCH_SIZE
"""The library insists."""
RECONNECT_PAUSE_S = 1.0
TRY_AGAIN_S = 5.0
ROWS_A_STATEMENT = 10_000
_TENDING = 43
"""The advisory lock of the one process that tends the queue."""


class QueuedJob(Protocol):
    """What the queue wants to know of a job: the least turn is begun first."""

    @property
    def id(self) -> uuid.UUID: ...
    @property
    def turn(self) -> int: ...


@dataclass(frozen=True)
class Lane:
    """Kinds of jobs that share so many places of a worker; those of another lane never wait for them.

    A lane takes a connection of its own.
    """

    handlers: Mapping[str, Handler]
    at_once: int


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


async def enqueue(connection: asyncpg.Connection, kind: str, jobs: Sequence[QueuedJob]) -> None:
    """Queue jobs; they become visible when the connection's transaction commits, or never."""
    queries = Queries(AsyncpgDriver(connection))
    for start in range(0, len(jobs), ROWS_A_STATEMENT):
        some = jobs[start : start + ROWS_A_STATEMENT]
        await queries.enqueue([kind] * len(some), [job.id.bytes for job in some], [-job.turn for job in some])


async def tend(connection: asyncpg.Connection, *, silent_s: float) -> int:
    """Queue again what has not ended, yet nobody works on and no row speaks of; answers how many jobs that were.

    That happens where a worker that had lost its lease still took the row away, and the next one died. For
    one process at a time: where another is at it, nothing is done.

    Args:
        silent_s: so long after the last sign of life; more than a lease, so that rows on their way are not doubled.
    """
    if not await connection.fetchval("SELECT pg_try_advisory_xact_lock($1, 0)", _TENDING):
        return 0
    forgotten = await connection.fetch(
        """
        SELECT id, kind, turn FROM job
        WHERE state IN ('queued', 'running')
          AND greatest(created_at, heartbeat_at, lease_until) < clock_timestamp() - $1::interval
          AND NOT EXISTS (
              SELECT FROM pgqueuer WHERE payload = uuid_send(job.id) AND status IN ('queued', 'picked'))
        """,
        timedelta(seconds=silent_s),
    )
    for job in forgotten:
        logger.warning("job %s was in no queue, queueing it again", job["id"])
        await Queries(AsyncpgDriver(connection)).enqueue(job["kind"], job["id"].bytes, -job["turn"])
    return len(forgotten)


# A connection that ends while two statements meet on it raises the driver's own InternalClientError.
_LOST = (
    OSError,
    asyncpg.PostgresError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,
    FailingListenerError,
    TimeoutError,
)


async def consume(
    open_connection: Callable[[], Awaitable[asyncpg.Connection]],
    lanes: Sequence[Lane],
    *,
    lease_s: float,
    stop: asyncio.Event,
) -> None:
    """Run handlers for queued jobs until `stop` is set, then let running ones end.

    A lost connection is opened again; the jobs of a dead worker come back after the lease.
    """
    async with asyncio.TaskGroup() as group:
        for lane in lanes:
            group.create_task(_consume(open_connection, lane, lease_s=lease_s, stop=stop))


async def _consume(
    open_connection: Callable[[], Awaitable[asyncpg.Connection]], lane: Lane, *, lease_s: float, stop: asyncio.Event
) -> None:
    while not stop.is_set():
        try:
            await _consume_once(open_connection, lane, lease_s=lease_s, stop=stop)
        except _LOST as error:
            logger.warning("queue connection lost, trying again: %s", error)
            await _pause(stop, RECONNECT_PAUSE_S)


async def _consume_once(
    open_connection: Callable[[], Awaitable[asyncpg.Connection]], lane: Lane, *, lease_s: float, stop: asyncio.Event
) -> None:
    connection = await open_connection()
    try:
        manager = QueueManager(Queries(AsyncpgDriver(connection)))
        for kind, handler in lane.handlers.items():
            manager.entrypoint(kind, on_failure="hold", accepts_context=False)(_entrypoint(handler))
        watcher = asyncio.create_task(_forward(stop, manager.shutdown))
        try:
            await manager.run(
                dequeue_timeout=timedelta(seconds=min(lease_s, 5)),
                batch_size=BATCH_SIZE,
                max_concurrent_tasks=max(lane.at_once, AT_ONCE_MIN),
                shutdown_on_listener_failure=True,
                # The library beats twice in this time, which is enough for its rows: where it picks a row again, the
                # job's own lease, kept by more beats, still says whose the job is.
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
