"""Jobs seen to their end, whatever happens on the way: a real queue, with workers that are tasks of this process."""

from __future__ import annotations

import asyncio
import functools
import uuid
from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import cast

import pytest
from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark import working
from groovemark.cli.db import upgrade_schema
from groovemark.context import Context
from groovemark.db import clients, jobs
from groovemark.db.jobs import Claim
from groovemark.db.lifecycle import JOB_ENDED
from groovemark.db.session import Database, connect, raw_connection
from groovemark.errors import DatabaseUnavailable, InputRejected, ServiceError
from groovemark.lease import Lease
from groovemark.queue import queue
from groovemark.queue.queue import Lane
from tests.conftest import Server

KIND = "classify"
LEASE_S = 0.5

Run = Callable[[Lease], Awaitable[None]]


class Jobs:
    """Queues jobs, and works on them until they have ended."""

    def __init__(self, database: Database, uri: str) -> None:
        self._database, self._uri = database, uri

    async def add(self, *, is_queued: bool = True) -> uuid.UUID:
        async with self._database.transaction() as connection:
            name = f"client-{uuid.uuid4()}"
            caller = await clients.authenticate(connection, name, await clients.add(connection, name, catalog=name))
            assert caller is not None
            job = await jobs.create(connection, kind=KIND, catalog_id=caller.catalog_id)
            if is_queued:
                await queue.enqueue(await raw_connection(connection), KIND, [job])
        return job.id

    async def change(self, job_id: uuid.UUID, assignments: str) -> None:
        async with self._database.transaction() as connection:
            await connection.execute(text(f"UPDATE job SET {assignments} WHERE id = :id"), {"id": job_id})

    async def get(self, job_id: uuid.UUID) -> RowMapping:
        async with self._database.transaction() as connection:
            return await jobs.get(connection, job_id)

    async def work_until_ended(self, job_id: uuid.UUID, run: Run, *, workers: int = 1) -> RowMapping:
        stop = asyncio.Event()
        parts = SimpleNamespace(database=self._database, lease_s=LEASE_S, attempts_max=3, stopping=stop)
        lane = Lane({KIND: functools.partial(self._handle, cast("Context", parts), run)}, 2)
        async with asyncio.timeout(30), asyncio.TaskGroup() as group:
            for _ in range(workers):
                opened = functools.partial(connect, self._uri)
                group.create_task(queue.consume(opened, [lane], lease_s=LEASE_S, stop=stop))
            while (found := await self.get(job_id))["state"] not in JOB_ENDED:  # noqa: ASYNC110  a row has no event
                await asyncio.sleep(0.05)
            stop.set()
        return found

    async def end(self, state: str, held: Claim, error: ServiceError | None = None) -> None:
        async with self._database.transaction() as connection:
            await jobs.hold(connection, held)
            await jobs.finish(connection, held, state, error=working.described(error) if error else None)

    async def _handle(self, context: Context, run: Run, job_id: uuid.UUID) -> None:
        async def load(connection: AsyncConnection) -> RowMapping:
            return await jobs.get(connection, job_id)

        if (claimed := await working.claim(context, job_id, load)) is not None:
            fail, cancel = functools.partial(self.end, "failed"), functools.partial(self.end, "cancelled")
            await working.work(context, claimed[0], run, fail=fail, cancel=cancel)


@pytest.fixture
def database_uri(postgres: Server) -> str:
    """A database for each test: workers would run the jobs that other tests leave behind, too."""
    uri = postgres.create_database()
    upgrade_schema(uri)
    return uri


@pytest.fixture
def work(database: Database, database_uri: str) -> Jobs:
    return Jobs(database, database_uri)


async def test_a_job_that_takes_ten_leases_is_run_once(work: Jobs) -> None:
    runs = 0

    async def run(lease: Lease) -> None:
        nonlocal runs
        runs += 1
        await asyncio.sleep(10 * LEASE_S)
        await work.end("succeeded", lease.claim)

    ended = await work.work_until_ended(await work.add(), run, workers=2)
    assert (ended["state"], ended["attempt"], runs) == ("succeeded", 1, 1)


async def test_a_worker_that_lost_its_lease_leaves_the_job_in_the_queue(work: Jobs) -> None:
    """It took the queue's row away as if it had done the work; when the other worker died too, nobody came back."""
    job_id, runs = await work.add(), 0

    async def run(lease: Lease) -> None:
        nonlocal runs
        runs += 1
        if runs == 1:  # another worker takes the job and dies
            await work.change(job_id, "lease_token = gen_random_uuid(), lease_until = now()")
        await work.end("succeeded", lease.claim)

    ended = await work.work_until_ended(job_id, run)
    assert (ended["state"], runs) == ("succeeded", 2)


async def test_a_job_that_is_in_no_queue_is_queued_again(work: Jobs, database: Database) -> None:
    forgotten, waiting = await work.add(is_queued=False), await work.add()

    async def tend() -> int:
        async with database.transaction() as connection:
            return await queue.tend(await raw_connection(connection), silent_s=1)

    assert await tend() == 0
    for job_id in (forgotten, waiting):
        await work.change(job_id, "created_at = now() - interval '1 minute'")
    assert (await tend(), await tend()) == (1, 0)

    async def run(lease: Lease) -> None:
        await work.end("succeeded", lease.claim)

    for job_id in (forgotten, waiting):
        assert (await work.work_until_ended(job_id, run))["state"] == "succeeded"


async def test_a_database_that_goes_away_costs_no_attempt(work: Jobs) -> None:
    runs = 0

    async def run(lease: Lease) -> None:
        nonlocal runs
        runs += 1
        if runs < 4:
            raise DatabaseUnavailable
        await work.end("succeeded", lease.claim)

    ended = await work.work_until_ended(await work.add(), run)
    assert (ended["state"], ended["attempt"], runs) == ("succeeded", 1, 4)


async def test_a_job_whose_end_was_committed_but_not_acknowledged_is_not_run_again(work: Jobs) -> None:
    runs = 0

    async def run(lease: Lease) -> None:
        nonlocal runs
        runs += 1
        await work.end("succeeded", lease.claim)
        raise DatabaseUnavailable

    job_id = await work.add()
    ended = await work.work_until_ended(job_id, run)
    assert ended["state"] == "succeeded"
    other = await work.add()  # the first is looked at once more before this one has ended
    await work.work_until_ended(other, run)
    assert (await work.get(job_id), runs) == (ended, 2)


async def test_a_job_whose_client_cancelled_while_nobody_had_it_is_not_begun(work: Jobs) -> None:
    job_id = await work.add()
    await work.change(job_id, "cancel_requested = true")

    async def run(_: Lease) -> None:
        raise AssertionError

    assert (await work.work_until_ended(job_id, run))["state"] == "cancelled"


async def test_bad_input_fails_the_job_at_once_and_with_its_reason(work: Jobs) -> None:
    async def run(_: Lease) -> None:
        raise InputRejected("The table is empty.")

    ended = await work.work_until_ended(await work.add(), run)
    assert (ended["state"], ended["attempt"], ended["error"]["detail"]) == ("failed", 1, "The table is empty.")


async def test_a_job_that_ended_all_its_workers_fails(work: Jobs) -> None:
    job_id = await work.add()
    await work.change(job_id, "state = 'running', attempt = 3, lease_until = now()")

    async def run(_: Lease) -> None:
        raise AssertionError

    ended = await work.work_until_ended(job_id, run)
    assert (ended["state"], ended["error"]["code"]) == ("failed", "attempts_exhausted")
