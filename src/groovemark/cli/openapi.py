"""`groovemark openapi`: the API's description, for Postman and for the freshness check."""

from __future__ import annotations

import json
from pathlib import Path

import typer


def openapi(
    output: Path = typer.Option(Path("openapi.json"), help="Where to write it; - for standard output."),
) -> None:
    """Write the OpenAPI description of the API."""
    from groovemark.config import Settings
    from groovemark.main import create_app

    # Nothing of this machine's settings may leak into the committed file.
    text = json.dumps(create_app(Settings.model_construct()).openapi(), indent=2, ensure_ascii=False) + "\n"
    if str(output) == "-":
        print(text, end="")
    else:
        output.write_text(text, encoding="utf-8")
