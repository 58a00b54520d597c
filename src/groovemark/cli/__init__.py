"""The command line: one file a command."""

from __future__ import annotations

import typer

from groovemark.cli.client import client
from groovemark.cli.db import db
from groovemark.cli.openapi import openapi
from groovemark.cli.serve import serve
from groovemark.cli.up import up
from groovemark.cli.worker import worker

app = typer.Typer(
    help="Batch classification of music.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
app.command()(up)
app.command()(serve)
app.command()(worker)
app.command()(openapi)
app.add_typer(client, name="client")
app.add_typer(db, name="db")
