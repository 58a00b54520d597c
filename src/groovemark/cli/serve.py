"""`groovemark serve`: the API."""

from __future__ import annotations

from groovemark.cli.failing import clear_errors
from groovemark.config import Settings
from groovemark.observability import logging

KEEP_ALIVE_S = 30


def serve() -> None:
    """Serve the API on HOST and PORT, until SIGTERM."""
    import uvicorn

    from groovemark.cli.protocol import LimitedProtocol
    from groovemark.main import create_app

    with clear_errors():
        settings = Settings()
        logging.configure(level=settings.log_level, format=settings.log_format)
        app = create_app(settings)
        uvicorn.run(
            app,
            host=settings.host,
            port=settings.port,
            log_config=None,
            access_log=False,
            server_header=False,
            http=LimitedProtocol,
            ws="none",
            headers=[("X-Content-Type-Options", "nosniff")],
            timeout_keep_alive=KEEP_ALIVE_S,
            timeout_graceful_shutdown=10,
        )
