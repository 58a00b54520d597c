"""`groovemark client`: who may call the API."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.cli.failing import clear_errors
from groovemark.cli.postgres import borrowed_database
from groovemark.config import Settings
from groovemark.db import clients
from groovemark.db.session import Database, create_engine
from groovemark.errors import ConfigurationError, RequestRejected, shorten

client = typer.Typer(help="Clients: who may call the API.", no_args_is_help=True)
T = TypeVar("T")
CLIENT_ID = re.compile(r"[\x21-\x7e]{1,128}")

ClientId = typer.Argument(help="The client's id.")


def _run(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """`work` in one transaction on the configured database."""

    async def run(uri: str) -> T:
        database = Database(create_engine(uri, pool_size=1))
        try:
            if not await database.is_current():
                raise ConfigurationError("The database lacks this version's tables; run `groovemark db upgrade`.")
            async with database.transaction() as connection:
                return await work(connection)
        finally:
            await database.close()

    with clear_errors(), borrowed_database(Settings(), creates=False) as uri:
        return asyncio.run(run(uri))


def _refuse_unsendable(client_id: str) -> None:
    """An id travels in a header: what no header carries unchanged could never sign in."""
    if not CLIENT_ID.fullmatch(client_id):
        raise RequestRejected(
            f"'{shorten(client_id)}' cannot be a client's id: 1 to 128 printable ASCII characters without spaces."
        )


def _show(client_id: str, secret: str) -> None:
    print(f"client-id:     {client_id}\nclient-secret: {secret}")
    typer.secho("The secret is shown this once; the database keeps only its hash.", err=True)


@client.command()
def add(
    client_id: str = ClientId,
    catalog: str = typer.Option(clients.DEFAULT_CATALOG, help="Clients of one catalog share tracks."),
    read_only: bool = typer.Option(False, "--read-only", help="May list and download, not classify."),
) -> None:
    """Add a client and print its secret."""
    with clear_errors():
        _refuse_unsendable(client_id)

    async def work(connection: AsyncConnection) -> str:
        if await clients.exists(connection, client_id):
            raise RequestRejected(f"There is a client '{client_id}' already; `rotate` gives it a new secret.")
        scopes = ("read",) if read_only else clients.SCOPES
        return await clients.add(connection, client_id, catalog=catalog, scopes=scopes)

    _show(client_id, _run(work))


@client.command()
def rotate(client_id: str = ClientId) -> None:
    """Give a client a new secret; the newest old one keeps working until the next rotation."""
    _show(client_id, _run(lambda connection: clients.rotate(connection, client_id)))


@client.command()
def revoke(client_id: str = ClientId) -> None:
    """Shut a client out at once."""
    _run(lambda connection: clients.revoke(connection, client_id))
    print(f"{client_id} is revoked.")


@client.command("list")
def list_clients() -> None:
    """List clients; secrets cannot be shown."""
    table = Table("client-id", "catalog", "scopes", "live secrets", "last used", "revoked")
    for found in _run(clients.list_all):
        used = found.last_used_at.isoformat(" ", "seconds") if found.last_used_at else "never"
        table.add_row(
            found.id,
            found.catalog,
            ", ".join(found.scopes),
            str(found.live_secrets),
            used,
            "yes" if found.is_revoked else "",
        )
    Console().print(table)
