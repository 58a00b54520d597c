"""`groovemark batch`: batches of a running service, over its HTTP API."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import httpx
import typer

from groovemark.cli.batch import results, sending, showing, submitting, watching
from groovemark.cli.batch.connection import Connection, asked, exit_codes

batch = typer.Typer(
    help="Batches of a running service. Exit codes: 0 all classified, 1 items failed, 2 it could not be done.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
BatchId = Annotated[uuid.UUID, typer.Argument(metavar="ID", help="The batch's id.")]
NoWait = Annotated[bool, typer.Option("--no-wait", help="Print the id and end, instead of watching.")]


@batch.callback()
def connect(
    context: typer.Context,
    url: Annotated[str, typer.Option(envvar="GROOVEMARK_URL", help="The service.")] = "http://127.0.0.1:5000",
    client_id: Annotated[str | None, typer.Option(envvar="CLIENT_ID", help="Who is calling.")] = None,
    secret_file: Annotated[
        Path | None, typer.Option(help="Has the secret; otherwise CLIENT_SECRET has it, or you are asked for it.")
    ] = None,
) -> None:
    """Where the service is and who is calling."""
    context.obj = Connection(url, client_id, secret_file)


@contextmanager
def _api(context: typer.Context) -> Iterator[httpx.Client]:
    connection: Connection = context.obj
    with exit_codes(), connection.open() as api:
        yield api


def _path(batch_id: uuid.UUID) -> str:
    return f"/classifier/batches/{batch_id}"


@batch.command()
def submit(
    context: typer.Context,
    paths: Annotated[
        list[Path] | None, typer.Argument(help="Audio files, zips of them, and folders; or one CSV.")
    ] = None,
    model: Annotated[str | None, typer.Option(help="name or name@version.")] = None,
    task: Annotated[str | None, typer.Option(help="What to find out, if not the genre.")] = None,
    manifest: Annotated[
        Path | None, typer.Option(dir_okay=False, help="CSV of file, external_id, title; URLs in it are fetched.")
    ] = None,
    resume: Annotated[
        uuid.UUID | None, typer.Option(metavar="ID", help="Send what this batch lacks; its model and task stay.")
    ] = None,
    no_wait: NoWait = False,
) -> None:
    """Send files as one batch and watch it."""
    with _api(context) as api:
        batch_id = submitting.submit(api, paths or (), model=model, task=task, manifest=manifest, resumed=resume)
        print(batch_id, flush=True)
        if not no_wait:
            watching.watch(api, batch_id)


@batch.command()
def watch(context: typer.Context, batch_id: BatchId) -> None:
    """Follow a batch until its end."""
    with _api(context) as api:
        watching.watch(api, str(batch_id))


@batch.command("list")
def list_batches(
    context: typer.Context,
    limit: Annotated[int, typer.Option(min=1, max=1000, help="No more than these, the newest.")] = 20,
) -> None:
    """List batches, newest first."""
    with _api(context) as api:
        showing.show_list(asked(api, "GET", "/classifier/batches", params={"limit": limit}).json()["batches"])


@batch.command()
def show(context: typer.Context, batch_id: BatchId) -> None:
    """Show state, counts and times of a batch."""
    with _api(context) as api:
        showing.show_batch(asked(api, "GET", _path(batch_id)).json())


@batch.command()
def errors(context: typer.Context, batch_id: BatchId) -> None:
    """Show what went wrong, grouped by code, with examples."""
    with _api(context) as api:
        showing.show_groups(asked(api, "GET", f"{_path(batch_id)}/errors/by-code").json()["groups"])


@batch.command()
def retry(context: typer.Context, batch_id: BatchId, no_wait: NoWait = False) -> None:
    """Run again what failed, and watch it."""
    with _api(context) as api:
        sending.Sender(api).post(f"{_path(batch_id)}/retry")
        if not no_wait:
            watching.watch(api, str(batch_id))


@batch.command()
def cancel(context: typer.Context, batch_id: BatchId) -> None:
    """Stop a batch; what is finished stays."""
    with _api(context) as api:
        sending.Sender(api).post(f"{_path(batch_id)}/cancel")


@batch.command("results")
def fetch_results(
    context: typer.Context,
    batch_id: BatchId,
    output: Annotated[Path, typer.Option("--output", "-o", help="Ends in .csv, .jsonl or .parquet.")],
) -> None:
    """Save what was classified."""
    with _api(context) as api:
        size = results.download(api, _path(batch_id), output)
    typer.echo(f"{output}: {size} bytes", err=True)
