"""Shards of one batch that are recorded at the same time."""

from __future__ import annotations

import asyncio
import uuid

from groovemark.classifier.record_shard import fail_items
from groovemark.db import batches, clients, items
from groovemark.db.batches import NewBatch
from groovemark.db.items import NewItem
from groovemark.db.session import Database
from groovemark.errors import Fault


async def test_two_shards_whose_files_fail_at_once_take_different_numbers_for_their_faults(database: Database) -> None:
    """Both once took the next number, and the second lost all of its shard to a key that was there already."""
    name = f"client-{uuid.uuid4()}"
    async with database.transaction() as connection:
        secret = await clients.add(connection, name, catalog=name)
        caller = await clients.authenticate(connection, name, secret)
        assert caller is not None
        new = NewBatch(caller.catalog_id, caller.client_id, "audio", "genre", "reject", None, None)
        batch_id = await batches.create(connection, new)
        await items.append(connection, batch_id, [NewItem(f"{number}.wav", None, None) for number in range(20)])
        batch = await batches.get(connection, batch_id)
    assert batch is not None
    both_begun = asyncio.Barrier(2)

    async def fail(shard: range) -> None:
        async with database.transaction() as connection:
            waiting = await items.pending(connection, batch_id, first=shard.start, last=shard.stop - 1)
            await both_begun.wait()
            await fail_items(connection, batch, [(item, Fault("undecodable", "damaged")) for item in waiting])
            await asyncio.sleep(0.2)

    await asyncio.gather(fail(range(10)), fail(range(10, 20)))
    async with database.transaction() as connection:
        found = await items.faults(connection, batch_id, severity="error", after=0, limit=100)
    assert sorted(fault["number"] for fault in found) == list(range(1, 21))
