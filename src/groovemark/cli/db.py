"""`groovemark db`: the database's schema."""

from __future__ import annotations

from pathlib import Path

import typer

from groovemark.cli.failing import clear_errors
from groovemark.config import Settings
from groovemark.errors import ConfigurationError

db = typer.Typer(help="The database's schema.", no_args_is_help=True)

MIGRATIONS = Path(__file__).parents[3] / "migrations"


def upgrade_schema(uri: str, *, migrations: Path = MIGRATIONS) -> None:
    """Bring the schema up to date; safe to call from several processes at once."""
    from alembic import command

    command.upgrade(_alembic(uri, migrations), "head")


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
    """Create or update the tables in POSTGRES_URI."""
    with clear_errors():
        upgrade_schema(database_uri(Settings()), migrations=migrations)


def database_uri(settings: Settings) -> str:
    """POSTGRES_URI, or the embedded server of GROOVEMARK_HOME, started if need be."""
    if settings.postgres_uri is not None:
        return settings.postgres_uri
    from groovemark.db import embedded

    return embedded.start(settings.groovemark_home).uri
