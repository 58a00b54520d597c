"""Transactions, and what a caller learns of a lost connection."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable

import asyncpg
import pytest
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.session import Database, connect, raw_connection
from groovemark.errors import DatabaseUnavailable

Statement = Callable[[AsyncConnection], Awaitable[object]]


async def through_sqlalchemy(connection: AsyncConnection) -> object:
    return await connection.execute(text("SELECT 1"))


async def through_the_driver(connection: AsyncConnection) -> object:
    return await (await raw_connection(connection)).execute("SELECT 1")


async def sleeping(connection: AsyncConnection) -> object:
    return await (await raw_connection(connection)).execute("SELECT pg_sleep(30)")


async def copying(connection: AsyncConnection) -> object:
    raw = await raw_connection(connection)
    await raw.execute("CREATE TEMPORARY TABLE heap (number integer) ON COMMIT DROP")

    async def records() -> AsyncIterator[tuple[int]]:
        """As many as there are until the connection is cut, and then some."""
        end = time.monotonic() + 0.5
        while time.monotonic() < end:
            yield (1,)
            await asyncio.sleep(0)

    return await raw.copy_records_to_table("heap", records=records())


async def cut(uri: str, pid: int) -> None:
    admin = await connect(uri)
    await asyncio.sleep(0.2)
    await admin.execute("SELECT pg_terminate_backend($1)", pid)
    await admin.close()


@pytest.mark.parametrize("statement", [through_sqlalchemy, through_the_driver, sleeping, copying])
@pytest.mark.parametrize("is_idle", [True, False], ids=["between statements", "in a statement"])
async def test_a_connection_cut_by_the_server_is_an_unavailable_database(
    database: Database, database_uri: str, statement: Statement, *, is_idle: bool
) -> None:
    async def work() -> None:
        async with asyncio.timeout(20), database.transaction() as connection:
            raw: asyncpg.Connection = await raw_connection(connection)
            cutting = asyncio.create_task(cut(database_uri, raw.get_server_pid()))
            if is_idle:
                await cutting
            while True:
                await statement(connection)

    with pytest.raises(DatabaseUnavailable):
        await work()


async def test_a_broken_statement_is_no_unavailable_database(database: Database) -> None:
    async with database.transaction() as connection:
        raw = await raw_connection(connection)
        with pytest.raises(asyncpg.UndefinedTableError):
            await raw.execute("SELECT * FROM nowhere")


@pytest.mark.parametrize(
    ("sqlstate", "is_passing"), [("40P01", True), ("53100", True), ("57P01", True), ("22012", False)]
)
async def test_a_server_short_of_something_is_an_unavailable_database_whoever_sent_the_statement(
    database: Database, sqlstate: str, *, is_passing: bool
) -> None:
    """A deadlock, a full disk and a restart say nothing of the batch that met them; once they failed it for good."""
    raising = f"DO $$ BEGIN RAISE EXCEPTION 'so' USING ERRCODE = '{sqlstate}'; END $$"
    with pytest.raises(DatabaseUnavailable if is_passing else DBAPIError):
        async with database.transaction() as connection:
            await connection.execute(text(raising))
    with pytest.raises(DatabaseUnavailable if is_passing else asyncpg.PostgresError):
        async with database.transaction() as connection:
            await (await raw_connection(connection)).execute(raising)
