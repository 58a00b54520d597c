"""Migrations: up, down, up; and the tables they make are the tables the code means."""

from __future__ import annotations

import asyncio
from pathlib import Path

from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection

from groovemark.cli.db import MIGRATIONS, downgrade_schema, upgrade_schema
from groovemark.db.session import SCHEMA_REVISION, Database, create_engine
from groovemark.db.tables import Base
from tests.conftest import Server


def _differences(connection: Connection) -> list[object]:
    context = MigrationContext.configure(
        connection,
        opts={
            "include_object": lambda _object, name, kind, *_: (
                not (kind == "table" and name.startswith(("pgqueuer", "alembic")))
            )
        },
    )
    return list(compare_metadata(context, Base.metadata))


def test_migrated_schema_is_the_one_the_code_declares(database_uri: str) -> None:
    async def compare() -> list[object]:
        engine = create_engine(database_uri)
        async with engine.connect() as connection:
            found = await connection.run_sync(_differences)
        await engine.dispose()
        return found

    assert asyncio.run(compare()) == []


def test_newest_migration_is_the_revision_the_api_asks_for() -> None:
    assert ScriptDirectory(str(MIGRATIONS)).get_current_head() == SCHEMA_REVISION


def test_schema_goes_down_and_up_again(postgres: Server) -> None:
    uri = postgres.create_database()

    async def is_current() -> bool:
        database = Database(create_engine(uri))
        found = await database.is_current()
        await database.close()
        return found

    upgrade_schema(uri)
    assert asyncio.run(is_current())
    downgrade_schema(uri, "base")
    assert not asyncio.run(is_current())
    upgrade_schema(uri)
    assert asyncio.run(is_current())


def test_migrations_are_found_from_a_checkout() -> None:
    assert Path(MIGRATIONS / "env.py").is_file()
