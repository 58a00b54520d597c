"""The HTTP server that `groovemark serve` starts."""

from __future__ import annotations

import socket
import sys

import uvicorn
from fastapi import FastAPI

from groovemark.cli.protocol import LimitedProtocol
from groovemark.main import end_streams

KEEP_ALIVE_S = 30
GRACE_S = 10
STARTUP_FAILURE = 3
"""The exit code with which uvicorn's own command says so."""


class _Server(uvicorn.Server):
    """Ends the streams first, which uvicorn would wait for until the grace is over."""

    def __init__(self, config: uvicorn.Config, app: FastAPI) -> None:
        super().__init__(config)
        self._app = app

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        end_streams(self._app)
        await super().shutdown(sockets)


def run(app: FastAPI, *, host: str, port: int) -> None:
    """Serve until SIGTERM or SIGINT; ends the process when it cannot start."""
    config = uvicorn.Config(
        app,
        host=host,
        port=port,
        log_config=None,
        access_log=False,
        server_header=False,
        http=LimitedProtocol,
        ws="none",
        headers=[("X-Content-Type-Options", "nosniff")],
        timeout_keep_alive=KEEP_ALIVE_S,
        timeout_graceful_shutdown=GRACE_S,
    )
    server = _Server(config, app)
    try:
        server.run()
    except KeyboardInterrupt:
        return
    if not server.started:
        sys.exit(STARTUP_FAILURE)
