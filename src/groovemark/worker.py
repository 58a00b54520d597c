"""A worker process, put together: it installs and loads the models, then works on jobs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import uuid
from collections.abc import AsyncIterator

from groovemark.config import Settings
from groovemark.context import Context
from groovemark.db import models, workers
from groovemark.db.session import Database, connect, create_engine
from groovemark.errors import ConfigurationError, DatabaseUnavailable
from groovemark.ingest import csv
from groovemark.ingest.archive import ArchiveLimits
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import Manifest
from groovemark.ml.models.cache import ModelCache
from groovemark.queue import queue
from groovemark.storage.local import LocalStorage
from groovemark.tasks import TASKS

logger = logging.getLogger(__name__)

MODEL_FOR_AUDIO = "fma-8"
"""Answers for audio when a request names no model."""


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises ConfigurationError when it cannot start."""
    if settings.postgres_uri is None:
        raise ConfigurationError("POSTGRES_URI is not set; `groovemark up` starts an embedded PostgreSQL and sets it.")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with _context(settings, settings.postgres_uri, stopping) as context, _announced(context.database):
        logger.info("worker ready")
        await queue.consume(
            functools.partial(connect, settings.postgres_uri),
            {kind: functools.partial(task, context) for kind, task in TASKS.items()},
            lease_s=settings.lease_s,
            stop=stopping,
        )
    logger.info("worker stopped")


@contextlib.asynccontextmanager
async def _context(settings: Settings, uri: str, stopping: asyncio.Event) -> AsyncIterator[Context]:
    database = Database(create_engine(uri))
    cache = ModelCache(settings.model_path, threads=settings.model_threads)
    sandbox = Sandbox(processes=settings.audio_processes)
    try:
        await _install_models(database, cache)
        await asyncio.to_thread(csv.warm_up)
        yield Context(
            database=database,
            storage=LocalStorage(settings.storage_folder),
            models=cache,
            sandbox=sandbox,
            csv_limits=csv.CsvLimits(
                size_bytes=settings.csv_bytes_max,
                rows=settings.csv_rows_max,
                title_characters=settings.title_characters_max,
                cell_characters=settings.cell_characters_max,
            ),
            archive_limits=ArchiveLimits(
                members_max=settings.audio_files_max,
                member_bytes_max=settings.audio_file_bytes_max,
                total_bytes_max=settings.audio_request_bytes_max,
            ),
            lease_s=settings.lease_s,
            attempts_max=settings.attempts_max,
            stopping=stopping,
        )
    finally:
        sandbox.close()
        cache.close()
        await database.close()


async def _install_models(database: Database, cache: ModelCache) -> None:
    """What lies in the model folder is known to the database, and loaded."""
    manifests = await asyncio.to_thread(registry.installed, cache.root)
    if not manifests:
        raise ConfigurationError(f"There is no model under {cache.root}; set MODEL_PATH.")
    async with database.transaction() as connection:
        for manifest in manifests:
            await models.install(connection, _row(manifest))
    for manifest in manifests:
        await asyncio.to_thread(cache.get, manifest.name, manifest.version)


def _row(manifest: Manifest) -> models.NewModel:
    spec = FEATURE_SETS[manifest.features]
    return models.NewModel(
        name=manifest.name,
        version=manifest.version,
        alias=models.AUDIO_DEFAULT if manifest.name == MODEL_FOR_AUDIO else None,
        family=manifest.family,
        task=manifest.task,
        labels=manifest.labels,
        features=spec.name,
        columns=tuple(column.name for column in spec.columns),
        takes_audio=spec.audio is not None,
        size_bytes=sum(file.size_bytes for file in manifest.files.values()),
        metrics=dict(manifest.metrics),
    )


@contextlib.asynccontextmanager
async def _announced(database: Database) -> AsyncIterator[None]:
    """The database knows that this worker lives, until it leaves."""
    worker_id = uuid.uuid4()
    async with database.transaction() as connection:
        await workers.beat(connection, worker_id)
    beating = asyncio.create_task(_beat(database, worker_id))
    try:
        yield
    finally:
        beating.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await beating
        with contextlib.suppress(DatabaseUnavailable):
            async with database.transaction() as connection:
                await workers.leave(connection, worker_id)


async def _beat(database: Database, worker_id: uuid.UUID) -> None:
    while True:
        await asyncio.sleep(workers.BEAT_EVERY_S)
        try:
            async with database.transaction() as connection:
                await workers.beat(connection, worker_id)
        except DatabaseUnavailable:
            logger.warning("the database is not available, trying again")
