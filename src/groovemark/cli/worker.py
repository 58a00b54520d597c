"""`groovemark worker`: a worker."""

from __future__ import annotations

import asyncio

from groovemark.cli.failing import clear_errors
from groovemark.config import Settings
from groovemark.observability import logging


def worker() -> None:
    """Install the models, then work on jobs until SIGTERM."""
    from groovemark.worker import run_worker

    with clear_errors():
        settings = Settings()
        logging.configure(level=settings.log_level, format=settings.log_format)
        asyncio.run(run_worker(settings))
