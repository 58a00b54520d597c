"""Holding a job while it is worked on: heartbeats on the database's clock, and the reasons to stop."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator

from groovemark.db import jobs
from groovemark.db.jobs import Claim, LeaseLost
from groovemark.db.session import Database
from groovemark.errors import DatabaseUnavailable

logger = logging.getLogger(__name__)

BEATS_A_LEASE = 3
"""A lease must outlive two lost heartbeats."""


class Cancelled(Exception):
    """The client asked for the end of the batch."""


class Stopping(Exception):
    """The worker was asked to end; the job goes back to the queue."""


class Lease:
    """A claim being kept. `progress` is told to the database with the next heartbeat."""

    def __init__(self, claim: Claim, stopping: asyncio.Event) -> None:
        self.claim = claim
        self.progress = 0.0
        self.is_cancelled = claim.is_cancelled
        self.is_lost = False
        self._stopping = stopping

    @property
    def should_stop(self) -> bool:
        """Asked from the threads that do the work."""
        return self.is_cancelled or self.is_lost or self._stopping.is_set()

    def check(self) -> None:
        """Raises LeaseLost, Cancelled or Stopping when there is a reason to stop."""
        if self.is_lost:
            raise LeaseLost
        if self.is_cancelled:
            raise Cancelled
        if self._stopping.is_set():
            raise Stopping


@contextlib.asynccontextmanager
async def keep(database: Database, claim: Claim, *, lease_s: float, stopping: asyncio.Event) -> AsyncIterator[Lease]:
    """Prolong the lease in the background until the work is done."""
    lease = Lease(claim, stopping)
    beating = asyncio.create_task(_beat(database, lease, lease_s=lease_s))
    try:
        yield lease
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating


async def _beat(database: Database, lease: Lease, *, lease_s: float) -> None:
    """A cancel is seen within a second, however long the lease; prolonging needs fewer beats."""
    pause_s = min(1.0, lease_s / BEATS_A_LEASE)
    while True:
        await asyncio.sleep(pause_s)
        try:
            async with database.transaction() as connection:
                lease.is_cancelled = await jobs.heartbeat(
                    connection, lease.claim, lease_s=lease_s, progress=lease.progress
                )
        except LeaseLost:
            lease.is_lost = True
            return
        except DatabaseUnavailable:
            logger.warning("job %s: heartbeat failed, trying again", lease.claim.job_id)
