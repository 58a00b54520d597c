"""`groovemark db`: the database's schema."""

from __future__ import annotations

from pathlib import Path

import typer

from groovemark.cli.failing import clear_errors
from groovemark.cli.postgres import borrowed_database
from groovemark.config import Settings
from groovemark.errors import ConfigurationError

db = typer.Typer(help="The database's schema.", no_args_is_help=True)

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
