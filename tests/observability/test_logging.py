"""What reaches the console."""

from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest

from groovemark.observability import logging as ours


@pytest.fixture(autouse=True)
def root_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)


def log_failure(name: str) -> None:
    error = ConnectionError("connection was closed\nin the middle")
    logging.getLogger(name).error("lost %s", "it", exc_info=error)


@pytest.mark.parametrize("name", ["pgqueuer", "sqlalchemy.pool.impl.AsyncAdaptedQueuePool"])
def test_lost_connection_is_one_line(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """A restarted PostgreSQL once filled the console with the driver's traces."""
    ours.configure(level="INFO", format="console")
    log_failure(name)
    line = capsys.readouterr().err
    assert "lost it: ConnectionError: connection was closed in the middle" in line
    assert line.count("\n") == 1


def test_trace_of_our_own_error_is_kept(capsys: pytest.CaptureFixture[str]) -> None:
    ours.configure(level="INFO", format="json")
    log_failure("groovemark.worker")
    assert "ConnectionError: connection was closed" in json.loads(capsys.readouterr().err)["exception"]
