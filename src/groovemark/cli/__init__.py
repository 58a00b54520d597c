"""The command line: one file a command."""

from __future__ import annotations

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
    help="Batch classification of music.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
    add_completion=False,
)
app.command()(up)
app.command()(serve)
app.command()(worker)
app.command()(openapi)
app.command()(train)
app.command()(evaluate)
app.add_typer(client, name="client")
app.add_typer(db, name="db")
