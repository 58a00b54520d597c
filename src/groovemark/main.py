"""The web process, put together. It authenticates, stores bytes, queues, waits and lists; it computes nothing."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from importlib.metadata import version

from fastapi import FastAPI

from groovemark.api import add_routers
from groovemark.backpressure import Admission
from groovemark.config import EXAMPLE_SECRET, Settings
from groovemark.db import clients
from groovemark.db.notices import Notices
from groovemark.db.session import Database, create_engine, normalise_uri
from groovemark.db.watching import Watchers
from groovemark.dependencies import Services
from groovemark.docs import add_docs
from groovemark.errors import ConfigurationError, DatabaseUnavailable, StorageUnavailable
from groovemark.handlers import add_handlers
from groovemark.ingest.uploads import UploadLimits
from groovemark.storage.base import Storage
from groovemark.storage.choice import open_storage
from groovemark.webhooks.signing import load_key

logger = logging.getLogger(__name__)

VERSION = version("groovemark")
ABANDONED_AFTER_S = 24 * 3600
"""An unfinished upload this old belongs to a process that is gone."""
SETTLE_EVERY_S = 1.0
SETTLE_WITHIN_S = 5.0
"""So long the service waits for its database before it listens without."""
DESCRIPTION = """Post batches of music, CSV feature tables or audio files, and read back which genre each track is.

Every call but the health checks needs the headers `client-id` and `client-secret`."""


def create_app(settings: Settings) -> FastAPI:
    """The ASGI application. Raises ConfigurationError when the settings are unsafe."""
    settings.refuse_example_secret()
    if settings.postgres_uri is not None:
        normalise_uri(settings.postgres_uri)  # before anything starts

    @contextlib.asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        async with _services(settings) as services:
            app.state.services = services
            yield

    app = FastAPI(
        title="groovemark",
        version=VERSION,
        description=DESCRIPTION,
        openapi_tags=[{"name": "classifier"}, {"name": "genre"}, {"name": "webhooks"}, {"name": "health"}],
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


def end_streams(app: FastAPI) -> None:
    """What would go on for as long as a batch does ends now; a server calls this before it waits for its requests."""
    services: Services = app.state.services
    services.watchers.stop()


@contextlib.asynccontextmanager
async def _services(settings: Settings) -> AsyncIterator[Services]:
    if settings.postgres_uri is None:
        raise ConfigurationError("POSTGRES_URI is not set; `groovemark up` starts an embedded PostgreSQL and sets it.")
    database = Database(create_engine(settings.postgres_uri))
    settled = asyncio.Event()
    settling = asyncio.create_task(_settle_clients(database, settings, settled))
    try:
        await asyncio.wait({settling}, timeout=SETTLE_WITHIN_S)
        if settling.done():
            settling.result()
        async with Notices(settings.postgres_uri, database) as notices, Watchers(database, notices) as watchers:
            yield Services(
                database=database,
                storage=await asyncio.to_thread(_storage, settings),
                notices=notices,
                watchers=watchers,
                upload_limits=UploadLimits(
                    csv_bytes_max=settings.csv_bytes_max,
                    audio_request_bytes_max=settings.audio_request_bytes_max,
                    audio_files_max=settings.audio_files_max,
                    audio_file_bytes_max=settings.audio_file_bytes_max,
                ),
                webhook_key=load_key(settings.webhook_key, settings.groovemark_home),
                allowed_networks=settings.fetch_allowed_networks,
                admission=Admission(
                    database, items_max=settings.queue_items_max, client_share=settings.queue_client_share
                ),
                api_name=settings.api_name,
                version=VERSION,
                requires_worker=settings.require_worker,
                clients_are_settled=settled.is_set,
            )
    finally:
        settling.cancel()
        await database.close()


def _storage(settings: Settings) -> Storage:
    storage = open_storage(settings.storage_place, settings.storage_folder)
    try:
        storage.sweep(older_than_s=ABANDONED_AFTER_S)
    except StorageUnavailable as error:
        logger.warning("what was left half uploaded is not swept: %s", error)
    return storage


async def _settle_clients(database: Database, settings: Settings, settled: asyncio.Event) -> None:
    """The configured client exists; the example's secret works nowhere but on loopback.

    Waits for a database that is not there yet, or has an older schema. Nobody is let in before it is done.
    """
    while True:
        if await database.is_current():
            with contextlib.suppress(DatabaseUnavailable):
                await _settle_clients_now(database, settings)
                settled.set()
                return
        logger.warning("the database is not available or not of this schema, trying again")
        await asyncio.sleep(SETTLE_EVERY_S)


async def _settle_clients_now(database: Database, settings: Settings) -> None:
    async with database.transaction() as connection:
        if settings.client_id is not None and settings.client_secret is not None:
            await clients.ensure(connection, settings.client_id, settings.client_secret)
        if not settings.listens_on_loopback:
            await clients.revoke_secret(connection, EXAMPLE_SECRET)
