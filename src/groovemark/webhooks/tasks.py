"""Sending a message to a webhook, as a worker does it: at least once, under the same id."""

from __future__ import annotations

import asyncio
import json
import logging
import random
import uuid
from collections.abc import Sequence

from groovemark.context import Context
from groovemark.db import jobs, webhooks
from groovemark.db.jobs import Claim
from groovemark.db.webhooks import Delivery
from groovemark.errors import ServiceError
from groovemark.lease import Lease
from groovemark.queue.queue import NotNow
from groovemark.webhooks import signing
from groovemark.webhooks.sending import Outcome, send
from groovemark.working import claim, work

logger = logging.getLogger(__name__)

DELAYS_S = (5.0, 300.0, 1_800.0, 7_200.0, 18_000.0, 36_000.0)
"""Before the second attempt and those after it; then the message is given up."""
JITTER = 0.1


async def deliver(context: Context, job_id: uuid.UUID, *, delays_s: Sequence[float] = DELAYS_S) -> None:
    """Send the job's message. Raises NotNow where it is to be sent again later, which costs the job no attempt."""
    found = await claim(context, job_id, lambda connection: webhooks.delivery(connection, job_id))
    if found is None:
        return
    held, delivery = found

    async def run(lease: Lease) -> None:
        await _record(context, lease.claim, delivery, await _attempt(context, delivery, lease), delays_s)

    async def fail(held: Claim, error: ServiceError) -> None:
        async with context.database.transaction() as connection:
            await jobs.hold(connection, held)
            await webhooks.give_up(connection, delivery.id, error=error.message)
            await jobs.finish(connection, held, "failed")

    async def cancel(held: Claim) -> None:
        await fail(held, ServiceError("It was cancelled."))

    await work(context, held, run, fail=fail, cancel=cancel)


async def _attempt(context: Context, delivery: Delivery, lease: Lease) -> Outcome:
    """Raises Stopping when the worker is asked to end before the receiver has answered."""
    if not delivery.is_wanted:
        return Outcome(error="The client was revoked.", is_final=True)
    secrets = [
        signing.secret_of(context.webhook_key, delivery.endpoint_id, number) for number in delivery.secret_numbers
    ]
    if signing.hash_of(secrets[0]) != delivery.secret_sha256:
        logger.error("a worker's WEBHOOK_KEY is not the API's; webhooks are not sent")
        return Outcome(error="The worker's WEBHOOK_KEY is not the API's.")
    body = json.dumps(delivery.payload, separators=(",", ":")).encode()
    headers = signing.sign(secrets, message_id=str(delivery.id), sent_at=delivery.sent_at, body=body)
    sending = asyncio.create_task(send(context.http, delivery.url, headers, body))
    stopping = asyncio.create_task(context.stopping.wait())
    try:
        await asyncio.wait({sending, stopping}, return_when=asyncio.FIRST_COMPLETED)
        if sending.done():
            return sending.result()
        lease.check()
        return await sending
    finally:
        sending.cancel()
        stopping.cancel()


async def _record(
    context: Context, held: Claim, delivery: Delivery, outcome: Outcome, delays_s: Sequence[float]
) -> None:
    is_last = outcome.is_final or delivery.attempts >= len(delays_s)
    state = "delivered" if outcome.is_delivered else "failed" if is_last else "pending"
    async with context.database.transaction() as connection:
        await jobs.hold(connection, held)
        await webhooks.record_attempt(
            connection, delivery.id, state, response_status=outcome.status, error=outcome.error
        )
        if state == "pending":
            await jobs.release(connection, held)
        else:
            await jobs.finish(connection, held, "succeeded" if outcome.is_delivered else "failed")
    if state == "pending":
        delay_s = delays_s[delivery.attempts] * random.uniform(1, 1 + JITTER)
        raise NotNow(delay_s, "the message was not taken")
