"""Leases: who may write, and for how long."""

from __future__ import annotations

import asyncio
import uuid

import pytest

from groovemark.db import clients, jobs
from groovemark.db.jobs import Claim, LeaseLost
from groovemark.db.session import Database
from groovemark.lease import Cancelled, Lease, Stopping, keep


@pytest.fixture
async def job_id(database: Database) -> uuid.UUID:
    async with database.transaction() as connection:
        name = f"client-{uuid.uuid4()}"
        secret = await clients.add(connection, name, catalog=name)
        caller = await clients.authenticate(connection, name, secret)
        assert caller is not None
        return (await jobs.create(connection, kind="classify", catalog_id=caller.catalog_id)).id


async def claim(database: Database, job_id: uuid.UUID, *, lease_s: float = 30) -> Claim | None:
    async with database.transaction() as connection:
        return await jobs.claim(connection, job_id, token=uuid.uuid4(), lease_s=lease_s)


async def taken(database: Database, job_id: uuid.UUID, *, lease_s: float = 30) -> Claim:
    held = await claim(database, job_id, lease_s=lease_s)
    assert held is not None
    return held


async def hold(database: Database, held: Claim) -> bool:
    async with database.transaction() as connection:
        return await jobs.hold(connection, held)


async def test_a_leased_job_is_nobody_elses(database: Database, job_id: uuid.UUID) -> None:
    await taken(database, job_id)
    assert await claim(database, job_id) is None


async def test_a_job_goes_to_another_worker_when_its_lease_has_run_out(database: Database, job_id: uuid.UUID) -> None:
    first = await taken(database, job_id, lease_s=0)
    second = await taken(database, job_id)
    assert (first.attempt, second.attempt) == (1, 2)
    assert first.token != second.token


async def test_a_worker_whose_job_went_to_another_writes_nothing(database: Database, job_id: uuid.UUID) -> None:
    stale = await taken(database, job_id, lease_s=0)
    current = await taken(database, job_id)
    with pytest.raises(LeaseLost):
        await hold(database, stale)
    async with database.transaction() as connection:
        with pytest.raises(LeaseLost):
            await jobs.heartbeat(connection, stale, lease_s=30, progress=0.5)
        await jobs.release(connection, stale)
    assert await hold(database, current) is False


async def test_a_late_worker_whose_job_nobody_took_may_still_write(database: Database, job_id: uuid.UUID) -> None:
    late = await taken(database, job_id, lease_s=0)
    assert await hold(database, late) is False


async def test_a_job_given_back_costs_no_attempt(database: Database, job_id: uuid.UUID) -> None:
    held = await taken(database, job_id)
    async with database.transaction() as connection:
        await jobs.release(connection, held)
    with pytest.raises(LeaseLost):
        await hold(database, held)
    assert (await taken(database, job_id)).attempt == 1


async def test_of_many_workers_one_gets_the_job(database: Database, job_id: uuid.UUID) -> None:
    claims = await asyncio.gather(*(claim(database, job_id) for _ in range(8)))
    assert sum(held is not None for held in claims) == 1


async def test_an_ended_job_is_never_taken_again(database: Database, job_id: uuid.UUID) -> None:
    held = await taken(database, job_id, lease_s=0)
    async with database.transaction() as connection:
        await jobs.hold(connection, held)
        await jobs.finish(connection, held, "succeeded")
    assert await claim(database, job_id) is None
    with pytest.raises(LeaseLost):
        await hold(database, held)


async def test_work_may_last_longer_than_the_lease_that_is_kept(database: Database, job_id: uuid.UUID) -> None:
    """Three beats a lease: after two leases it is still this worker's, and its progress is known."""
    held = await taken(database, job_id, lease_s=1)
    async with keep(database, held, lease_s=1, stopping=asyncio.Event()) as lease:
        lease.progress = 0.25
        await asyncio.sleep(2)
        assert await claim(database, job_id) is None
        lease.check()
    async with database.transaction() as connection:
        found = await jobs.status(connection, job_id)
    assert found is not None
    assert (found.attempt, found.is_leased) == (1, True)


async def test_a_heartbeat_learns_that_the_job_is_lost(database: Database, job_id: uuid.UUID) -> None:
    held = await taken(database, job_id, lease_s=0)
    await taken(database, job_id)
    async with keep(database, held, lease_s=0.3, stopping=asyncio.Event()) as lease:
        async with asyncio.timeout(10):
            while not lease.should_stop:  # noqa: ASYNC110  the lease is asked from threads, it has no event
                await asyncio.sleep(0.01)
        with pytest.raises(LeaseLost):
            lease.check()


async def test_a_stopping_worker_is_told_at_once(database: Database, job_id: uuid.UUID) -> None:
    stopping = asyncio.Event()
    lease = Lease(await taken(database, job_id), stopping)
    lease.check()
    stopping.set()
    assert lease.should_stop
    with pytest.raises(Stopping):
        lease.check()
    lease.is_cancelled = True
    with pytest.raises(Cancelled):
        lease.check()
