"""How a command ends when it cannot do its work: one line on stderr, exit code 1."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from pydantic import ValidationError

from groovemark.errors import ServiceError


@contextmanager
def clear_errors() -> Iterator[None]:
    """Turn the service's own errors, and bad settings, into a line; a bug keeps its trace."""
    try:
        yield
    except ServiceError as error:
        print(f"groovemark: {error.message}", file=sys.stderr)
        raise typer.Exit(1) from error
    except ValidationError as error:
        for found in error.errors():
            name = ".".join(str(part) for part in found["loc"]).upper()
            print(f"groovemark: {name}: {found['msg']}", file=sys.stderr)
        raise typer.Exit(1) from error
