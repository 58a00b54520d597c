"""The command line: one file a command."""

from __future__ import annotations

from importlib.metadata import version

import typer

from groovemark.cli.client import client
from groovemark.cli.db import db
from groovemark.cli.evaluate import evaluate
from groovemark.cli.openapi import openapi
from groovemark.cli.serve import serve
from groovemark.cli.train import train
from groovemark.cli.up import up
from groovemark.cli.worker import worker

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)


def _show_version(is_asked: bool) -> None:
    if is_asked:
        print(f"groovemark {version('groovemark')}")
        raise typer.Exit


@app.callback()
def groovemark(
    _: bool = typer.Option(
        False, "--version", callback=_show_version, is_eager=True, help="Show groovemark's version and exit."
    ),
) -> None:
    """Batch classification of music."""


app.command()(up)
app.command()(serve)
app.command()(worker)
app.command()(openapi)
app.command()(train)
app.command()(evaluate)
app.add_typer(client, name="client")
app.add_typer(db, name="db")
