"""The queue: at once, never twice at a time, and never forgotten."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections import Counter
from collections.abc import Awaitable, Callable

import pytest

from groovemark.db.jobs import NewJob
from groovemark.db.session import Database, connect, raw_connection
from groovemark.queue import queue
from groovemark.queue.queue import Lane, NotNow

KIND = "counted"
"""Of no other test that queues jobs in this database."""
CUT_CONSUMERS = """
    SELECT pg_terminate_backend(pid) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE '%pgqueuer%'
"""


async def enqueue(database: Database, *job_ids: uuid.UUID) -> None:
    async with database.transaction() as connection:
        for job_id in job_ids:
            await queue.enqueue(await raw_connection(connection), KIND, [NewJob(job_id, 0)])


async def consume(
    uri: str, handle: Callable[[uuid.UUID], Awaitable[None]], done: asyncio.Event, *, workers: int = 1
) -> None:
    """Run workers until `done` is set."""
    async with asyncio.timeout(60), asyncio.TaskGroup() as group:
        for _ in range(workers):
            opened = functools.partial(connect, uri)
            group.create_task(queue.consume(opened, [Lane({KIND: handle}, 2)], lease_s=1, stop=done))


async def test_two_consumers_never_run_a_job_twice_at_once_and_run_each_once(
    database: Database, database_uri: str
) -> None:
    """Jobs last longer than the lease: a slow heartbeat would have them picked up again."""
    job_ids = [uuid.uuid4() for _ in range(12)]
    running: Counter[uuid.UUID] = Counter()
    runs: Counter[uuid.UUID] = Counter()
    at_once = 0
    done = asyncio.Event()

    async def handle(job_id: uuid.UUID) -> None:
        nonlocal at_once
        running[job_id] += 1
        at_once = max(at_once, running[job_id])
        await asyncio.sleep(1.5 if job_id == job_ids[0] else 0.05)
        running[job_id] -= 1
        runs[job_id] += 1
        if len(runs) == len(job_ids):
            done.set()

    await enqueue(database, *job_ids)
    await consume(database_uri, handle, done, workers=2)
    assert at_once == 1
    assert runs == Counter(job_ids)


async def test_a_job_of_a_transaction_that_is_rolled_back_is_never_run(database: Database, database_uri: str) -> None:
    kept, lost = uuid.uuid4(), uuid.uuid4()
    seen: list[uuid.UUID] = []
    done = asyncio.Event()

    async def handle(job_id: uuid.UUID) -> None:
        seen.append(job_id)
        done.set()

    async with database.transaction() as connection:
        await queue.enqueue(await raw_connection(connection), KIND, [NewJob(lost, 0)])
        await connection.rollback()
    await enqueue(database, kept)
    await consume(database_uri, handle, done)
    assert seen == [kept]


async def test_a_job_that_cannot_run_now_and_one_that_fails_are_run_again(
    database: Database, database_uri: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(queue, "TRY_AGAIN_S", 0.1)
    job_id = uuid.uuid4()
    runs = 0
    done = asyncio.Event()

    async def handle(_: uuid.UUID) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:
            raise NotNow(0.2, "not yet")
        if runs == 2:
            raise ValueError("a bug")
        done.set()

    await enqueue(database, job_id)
    await consume(database_uri, handle, done)
    assert runs == 3


async def test_a_consumer_opens_its_connection_again(database: Database, database_uri: str) -> None:
    done = asyncio.Event()

    async def handle(_: uuid.UUID) -> None:
        done.set()

    async def cut() -> None:
        """End the consumer's session, as a restarting server does, once it is there."""
        admin = await connect(database_uri)
        found: list[object] = []
        async with asyncio.timeout(30):
            while not found:
                found = await admin.fetch(CUT_CONSUMERS)
        await admin.close()
        await enqueue(database, uuid.uuid4())

    async with asyncio.TaskGroup() as group:
        group.create_task(consume(database_uri, handle, done))
        group.create_task(cut())


async def test_a_stopping_consumer_lets_running_jobs_end(database: Database, database_uri: str) -> None:
    stop, ended = asyncio.Event(), asyncio.Event()

    async def handle(_: uuid.UUID) -> None:
        stop.set()
        await asyncio.sleep(0.5)
        ended.set()

    await enqueue(database, uuid.uuid4())
    await consume(database_uri, handle, stop)
    assert ended.is_set()
