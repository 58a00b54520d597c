"""Log lines: for people on a terminal, or JSON for machines. Headers and bodies are never logged."""

from __future__ import annotations

import logging
import sys
from typing import Literal

import structlog

QUIET_LOGGERS = ("httpx", "httpcore", "pgqueuer", "uvicorn", "uvicorn.error", "uvicorn.access", "alembic")

TRACELESS_LOGGERS = ("pgqueuer", "sqlalchemy")
"""What they log with a trace is a lost connection, which whoever used it reports in a line."""


class _WithoutTrace(logging.Filter):
    """Brings what TRACELESS_LOGGERS log with an exception onto one line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.name.partition(".")[0] in TRACELESS_LOGGERS:
            error = record.exc_info[1]
            line = " ".join(f"{record.getMessage()}: {type(error).__name__}: {error}".split())
            record.msg, record.args, record.exc_info, record.exc_text = line, None, None, None
        return True


def configure(*, level: str, format: Literal["console", "json"]) -> None:  # noqa: A002  the setting's own word
    """Send every logger of the process through one formatter to stderr."""
    shared: list[structlog.typing.Processor] = [
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
        structlog.processors.StackInfoRenderer(),
    ]
    renderer: structlog.typing.Processor
    if format == "json":
        shared.append(structlog.processors.format_exc_info)
        renderer = structlog.processors.JSONRenderer()
    else:
        renderer = structlog.dev.ConsoleRenderer(
            colors=sys.stderr.isatty(), exception_formatter=structlog.dev.plain_traceback
        )
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, renderer],
        )
    )
    handler.addFilter(_WithoutTrace())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level)
    for name in QUIET_LOGGERS:
        logging.getLogger(name).setLevel(max(logging.WARNING, logging.getLevelName(level)))
