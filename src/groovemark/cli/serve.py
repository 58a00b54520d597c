"""`groovemark serve`: the API."""

from __future__ import annotations

from groovemark.cli.failing import clear_errors
from groovemark.config import Settings
from groovemark.observability import logging


def serve() -> None:
    """Serve the API on HOST and PORT, until SIGTERM."""
    from groovemark.cli.server import run
    from groovemark.main import create_app

    with clear_errors():
        settings = Settings()
        logging.configure(level=settings.log_level, format=settings.log_format)
        app = create_app(settings)
        run(app, host=settings.host, port=settings.port)
