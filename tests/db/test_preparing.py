"""What is settled about a batch's items, in the transaction that made them."""

from __future__ import annotations

import uuid

from sqlalchemy import text

from groovemark.db import preparing
from groovemark.db.session import Database, raw_connection

ITEMS = 20_000


async def test_many_items_that_were_made_just_now_are_settled_at_once(database: Database) -> None:
    """Without statistics each was compared with each: 5,000 took ten seconds, a zip of 100,000 held its worker."""
    batch_id = uuid.uuid4()
    async with database.transaction() as connection:
        await connection.execute(text("SET LOCAL session_replication_role = replica"))  # a batch would add nothing
        await connection.execute(text("SET LOCAL statement_timeout = '20s'"))
        await connection.execute(
            text("""
                INSERT INTO batch_item (batch_id, position, external_id, state)
                SELECT :batch_id, number, 'file ' || number % 19999, 'pending' FROM generate_series(0, :last) AS number
            """),
            {"batch_id": batch_id, "last": ITEMS - 1},
        )
        raw = await raw_connection(connection)
        assert await preparing.settle_equal_ids(raw, batch_id) == 1
        alike = [(number, f"{number // 2}") for number in range(ITEMS)]
        await preparing.link_equal_content(raw, batch_id, alike)
        found = await connection.scalar(
            text("SELECT count(*) FROM batch_item WHERE batch_id = :batch_id AND same_as = position - 1"),
            {"batch_id": batch_id},
        )
        assert found == ITEMS // 2 - 1  # position 0 has failed, its copy is worked on itself
        await connection.execute(text("DELETE FROM batch_fault WHERE batch_id = :id"), {"id": batch_id})
        await connection.execute(text("DELETE FROM batch_item WHERE batch_id = :id"), {"id": batch_id})
