"""`groovemark client`: who may call the API."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import typer
from rich.console import Console
from rich.table import Table
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.cli.db import database_uri
from groovemark.cli.failing import clear_errors
from groovemark.config import Settings
from groovemark.db import clients
from groovemark.db.session import Database, create_engine
from groovemark.errors import RequestRejected

client = typer.Typer(help="Clients: who may call the API.", no_args_is_help=True)
T = TypeVar("T")

ClientId = typer.Argument(help="The client's id.")


def _run(work: Callable[[AsyncConnection], Awaitable[T]]) -> T:
    """`work` in one transaction on the configured database."""

    async def run() -> T:
        database = Database(create_engine(database_uri(Settings()), pool_size=1))
        try:
            async with database.transaction() as connection:
                return await work(connection)
        finally:
            await database.close()

    with clear_errors():
        return asyncio.run(run())


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
