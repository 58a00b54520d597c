"""The command line: one file a command, imported when it is asked for, so that the API stays light."""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import Any

import typer
from typer.core import TyperGroup

COMMANDS = {
    "up": "groovemark.cli.up:up",
    "serve": "groovemark.cli.serve:serve",
    "worker": "groovemark.cli.worker:worker",
    "features": "groovemark.cli.features:features",
    "prepare": "groovemark.cli.prepare:prepare",
    "train": "groovemark.cli.train:train",
    "evaluate": "groovemark.cli.evaluate:evaluate",
    "model": "groovemark.cli.model:model",
    "batch": "groovemark.cli.batch:batch",
    "client": "groovemark.cli.client:client",
    "db": "groovemark.cli.db:db",
    "openapi": "groovemark.cli.openapi:openapi",
}


class _LateCommands(TyperGroup):
    """Imports a command's file when the command is called, or when help lists them all."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002  click's signature
        return list(COMMANDS)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002  click's signature
        if cmd_name not in COMMANDS:
            return None
        module, _, name = COMMANDS[cmd_name].partition(":")
        found = getattr(import_module(module), name)
        if isinstance(found, typer.Typer):
            return typer.main.get_group(found)
        alone = typer.Typer(add_completion=False)
        alone.command(cmd_name)(found)
        return typer.main.get_command(alone)


app = typer.Typer(
    cls=_LateCommands,
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
