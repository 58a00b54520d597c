"""`groovemark db`: the database's schema, and its upkeep by hand."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path

import typer
from rich.console import Console

from groovemark.cli.failing import clear_errors
from groovemark.cli.postgres import borrowed_database
from groovemark.config import Settings
from groovemark.errors import ConfigurationError

db = typer.Typer(help="The database: its schema and its upkeep.", no_args_is_help=True)

MIGRATIONS = Path(__file__).parents[3] / "migrations"
INSUFFICIENT_PRIVILEGE = "42501"


def upgrade_schema(uri: str, *, migrations: Path = MIGRATIONS) -> None:
    """Bring the schema up to date; safe to call from several processes at once.

    Raises ConfigurationError when the schema is newer than this code, or the role may not create tables.
    """
    from alembic import command
    from alembic.util import CommandError
    from sqlalchemy.exc import DBAPIError

    try:
        command.upgrade(_alembic(uri, migrations), "head")
    except CommandError as error:
        raise ConfigurationError(f"The database's schema cannot be upgraded: {error}") from error
    except DBAPIError as error:
        if getattr(error.orig, "sqlstate", None) != INSUFFICIENT_PRIVILEGE:
            raise
        raise ConfigurationError("The role of POSTGRES_URI may not create tables in its database.") from error


def downgrade_schema(uri: str, revision: str, *, migrations: Path = MIGRATIONS) -> None:
    """Take the schema back to a revision; `base` removes every table."""
    from alembic import command

    command.downgrade(_alembic(uri, migrations), revision)


def _alembic(uri: str, migrations: Path):  # type: ignore[no-untyped-def]  # alembic is imported late
    from alembic.config import Config

    if not (migrations / "env.py").exists():
        raise ConfigurationError(f"There are no migrations at {migrations}; run from a checkout or an image.")
    config = Config()
    config.set_main_option("script_location", str(migrations))
    config.attributes["postgres_uri"] = uri
    return config


@db.command()
def upgrade(
    migrations: Path = typer.Option(MIGRATIONS, help="Folder of the migrations."),
) -> None:
    """Create or update the tables in POSTGRES_URI, or in the embedded PostgreSQL of GROOVEMARK_HOME."""
    with clear_errors(), borrowed_database(Settings(), creates=True) as uri:
        upgrade_schema(uri, migrations=migrations)


@db.command()
def upkeep() -> None:
    """Do at once what a worker does from time to time: remove what nobody needs any more, find what was forgotten."""
    with clear_errors(), borrowed_database(Settings(), creates=False) as uri:
        done = asyncio.run(_keep_up(uri, Settings()))
    for what, count in done.items():
        Console().print(f"{count:8}  {what}", highlight=False)


async def _keep_up(uri: str, settings: Settings) -> Mapping[str, int]:
    from groovemark.db.session import Database, create_engine
    from groovemark.storage.choice import open_storage
    from groovemark.upkeep import Upkeep, run_once

    database = Database(create_engine(uri, pool_size=2))
    try:
        chores = Upkeep(
            database,
            open_storage(settings.storage_place, settings.storage_folder),
            lease_s=settings.lease_s,
            uploads_kept_days=settings.uploads_kept_days or None,
            batches_kept_days=settings.batches_kept_days or None,
        )
        return await run_once(chores)
    finally:
        await database.close()
