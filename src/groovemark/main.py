"""The web process, put together. It authenticates, stores bytes, queues, waits and lists; it computes nothing."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI

from groovemark.api import add_routers
from groovemark.config import EXAMPLE_SECRET, Settings
from groovemark.db import clients
from groovemark.db.notices import Notices
from groovemark.db.session import Database, create_engine
from groovemark.dependencies import Services
from groovemark.docs import add_docs
from groovemark.errors import ConfigurationError
from groovemark.handlers import add_handlers
from groovemark.ingest.uploads import UploadLimits
from groovemark.storage.local import LocalStorage

VERSION = version("groovemark")
DESCRIPTION = """Post batches of music, CSV feature tables or audio files, and read back which genre each track is.

Every call but the health checks needs the headers `client-id` and `client-secret`."""


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. Raises ConfigurationError when the settings are unsafe."""
    settings.refuse_example_secret()

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _services(settings) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="groovemark",
        version=VERSION,
        description=DESCRIPTION,
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        separate_input_output_schemas=False,
    )
    add_handlers(app)
    add_routers(app)
    add_docs(app)
    return app


@contextlib.asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[Services]:
    if settings.postgres_uri is None:
        raise ConfigurationError("POSTGRES_URI is not set; `groovemark up` starts an embedded PostgreSQL and sets it.")
    database = Database(create_engine(settings.postgres_uri))
    try:
        await _settle_clients(database, settings)
        async with Notices(settings.postgres_uri, database) as notices:
            yield Services(
                database=database,
                storage=LocalStorage(settings.storage_folder),
                notices=notices,
                upload_limits=UploadLimits(
                    csv_bytes_max=settings.csv_bytes_max,
                    audio_request_bytes_max=settings.audio_request_bytes_max,
                    audio_files_max=settings.audio_files_max,
                    audio_file_bytes_max=settings.audio_file_bytes_max,
                ),
                api_name=settings.api_name,
                version=VERSION,
                requires_worker=settings.require_worker,
            )
    finally:
        await database.close()


async def _settle_clients(database: Database, settings: Settings) -> None:
    """The configured client exists; the example's secret works nowhere but on loopback."""
    async with database.transaction() as connection:
        if settings.client_id is not None and settings.client_secret is not None:
            await clients.ensure(connection, settings.client_id, settings.client_secret)
        if not settings.listens_on_loopback:
            await clients.revoke_secret(connection, EXAMPLE_SECRET)
