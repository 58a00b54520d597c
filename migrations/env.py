"""Alembic's entry: the database's address comes from POSTGRES_URI or from `groovemark db upgrade`."""

from __future__ import annotations

import asyncio
import os

from alembic import context
from sqlalchemy import Connection, pool
from sqlalchemy.ext.asyncio import create_async_engine

from groovemark.db.session import connect
from groovemark.db.tables import Base

QUEUE_PREFIX = "pgqueuer"


def _is_ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
    """The queue library's tables are its own business."""
    return not (kind == "table" and name is not None and name.startswith(QUEUE_PREFIX))


def _migrate(connection: Connection) -> None:
    context.configure(connection=connection, target_metadata=Base.metadata, include_object=_is_ours)
    with context.begin_transaction():
        # Two processes that start at once must not migrate at once.
        connection.exec_driver_sql("SELECT pg_advisory_xact_lock(7091988)")
        context.run_migrations()


async def _run() -> None:
    uri = context.config.attributes.get("postgres_uri") or os.environ["POSTGRES_URI"]
    engine = create_async_engine("postgresql+asyncpg://", async_creator=lambda: connect(uri), poolclass=pool.NullPool)
    async with engine.connect() as connection:
        await connection.run_sync(_migrate)
    await engine.dispose()


asyncio.run(_run())
