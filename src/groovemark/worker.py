"""A worker process, put together: it installs and loads the models, then works on jobs until it is told to stop."""

from __future__ import annotations

import asyncio
import contextlib
import functools
import logging
import signal
import threading
import uuid
from collections.abc import AsyncIterator

from groovemark.config import Settings
from groovemark.context import Context
from groovemark.db import models, workers
from groovemark.db.session import Database, connect, create_engine
from groovemark.errors import ConfigurationError, DatabaseUnavailable, ModelUnavailable, Unavailable
from groovemark.ingest import csv
from groovemark.ingest.archive import ArchiveLimits
from groovemark.ingest.guarded import FetchLimits, GuardedClient
from groovemark.ingest.open_archives import OpenArchives
from groovemark.ingest.remote import Remote
from groovemark.ml.features.cache import FeatureCache
from groovemark.ml.features.file_extractor import FileExtractor
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import Manifest
from groovemark.ml.models.cache import ModelCache
from groovemark.queue import queue
from groovemark.solitude import Solitude
from groovemark.storage.choice import open_storage
from groovemark.tasks import LANES, Lane
from groovemark.upkeep import Upkeep, keep_up
from groovemark.webhooks.signing import load_key

logger = logging.getLogger(__name__)

MODEL_FOR_AUDIO = "fma-8"
"""Answers for audio when a request names no model."""

IDLE_MIN_S = 15.0
"""A model may compute for so long between two blocks of a table, in the transaction that takes its results."""


async def run_worker(settings: Settings) -> None:
    """Work until SIGTERM or SIGINT. Raises ConfigurationError when it cannot start."""
    if settings.postgres_uri is None:
        raise ConfigurationError("POSTGRES_URI is not set; `groovemark up` starts an embedded PostgreSQL and sets it.")
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopping.set)
    async with (
        _context(settings, settings.postgres_uri, stopping) as context,
        _announced(context.database),
        _upkeep(settings, settings.postgres_uri, context),
    ):
        logger.info("worker ready")
        await queue.consume(
            functools.partial(connect, settings.postgres_uri),
            [_lane(context, lane, settings) for lane in LANES],
            lease_s=settings.lease_s,
            stop=stopping,
        )
    logger.info("worker stopped")


def _lane(context: Context, lane: Lane, settings: Settings) -> queue.Lane:
    handlers = {kind: functools.partial(task, context) for kind, task in lane.tasks.items()}
    return queue.Lane(handlers, lane.at_once(settings.audio_processes))


@contextlib.asynccontextmanager
async def _context(settings: Settings, uri: str, stopping: asyncio.Event) -> AsyncIterator[Context]:
    database = Database(create_engine(uri, idle_s=max(IDLE_MIN_S, 2 * settings.lease_s)))
    cache = ModelCache(settings.model_path, threads=settings.model_threads)
    storage = await asyncio.to_thread(open_storage, settings.storage_place, settings.storage_folder)
    archives = OpenArchives(
        storage,
        ArchiveLimits(
            members_max=settings.archive_files_max,
            member_bytes_max=settings.audio_file_bytes_max,
            total_bytes_max=settings.audio_request_bytes_max,
        ),
    )
    http = GuardedClient(allowed=settings.fetch_allowed_networks)
    extractor = await asyncio.to_thread(_extractor, settings)
    try:
        takes_audio = await _install_models(database, cache)
        await asyncio.to_thread(csv.warm_up)
        if takes_audio:
            # Beside the jobs: a table need not wait for it, and the first audio file waits for what is left of it. All
            # processes and not just one: AUDIO_PROCESSES says how many the operator has room for.
            threading.Thread(target=_warm, args=(extractor,), name="warm", daemon=True).start()
        yield Context(
            database=database,
            storage=storage,
            models=cache,
            extractor=extractor,
            csv_limits=csv.CsvLimits(
                size_bytes=settings.csv_bytes_max,
                rows=settings.csv_rows_max,
                title_characters=settings.title_characters_max,
                cell_characters=settings.cell_characters_max,
            ),
            manifest_limits=csv.CsvLimits(
                size_bytes=settings.audio_file_bytes_max,
                rows=settings.manifest_rows_max,
                columns=16,
                row_bytes=64 * 1024,
                title_characters=settings.title_characters_max,
            ),
            archives=archives,
            http=http,
            remote=Remote(
                http,
                s3_prefixes=settings.fetch_s3_prefixes,
                file_roots=settings.fetch_file_roots,
                limits=FetchLimits(bytes_max=settings.audio_file_bytes_max),
            ),
            webhook_key=load_key(settings.webhook_key, settings.groovemark_home),
            lease_s=settings.lease_s,
            attempts_max=settings.attempts_max,
            solitude=Solitude(),
            stopping=stopping,
        )
    finally:
        await asyncio.to_thread(extractor.close)
        archives.close()
        cache.close()
        await database.close()


def _extractor(settings: Settings) -> FileExtractor:
    bytes_max = settings.feature_cache_bytes_max
    cache = FeatureCache(settings.storage_folder / "features", bytes_max=bytes_max) if bytes_max else None
    return FileExtractor.open(settings.audio_device, processes=settings.audio_processes, cache=cache)


def _warm(extractor: FileExtractor) -> None:
    try:
        extractor.warm()
    except Unavailable:
        pass  # the worker is ending
    except ConfigurationError as error:
        logger.warning("audio cannot be classified: %s", error)
    else:
        logger.info("decoders ready")


async def _install_models(database: Database, cache: ModelCache) -> bool:
    """What lies in the model folder is known to the database, and loaded; answers whether any takes audio."""
    manifests = await asyncio.to_thread(registry.installed, cache.root)
    if not manifests:
        raise ConfigurationError(f"There is no model under {cache.root}; set MODEL_PATH.")
    usable = [manifest for manifest in manifests if await asyncio.to_thread(_is_usable, cache, manifest)]
    async with database.transaction() as connection:
        for manifest in usable:
            await models.install(connection, _row(manifest))
    return any(FEATURE_SETS[manifest.features].comes_from_audio for manifest in usable)


def _is_usable(cache: ModelCache, manifest: Manifest) -> bool:
    """Loaded now; a model that needs what is not here is left out, and the others serve."""
    try:
        cache.get(manifest.name, manifest.version)
    except ModelUnavailable as error:
        logger.warning("%s is not offered: %s", manifest.full_name, error.message)
        return False
    return True


def _row(manifest: Manifest) -> models.NewModel:
    spec = FEATURE_SETS[manifest.features]
    sets = [spec, *(FEATURE_SETS[name] for name in manifest.other_features)]
    return models.NewModel(
        name=manifest.name,
        version=manifest.version,
        alias=models.AUDIO_DEFAULT if manifest.name == MODEL_FOR_AUDIO else None,
        family=manifest.family,
        task=manifest.task,
        labels=manifest.labels,
        features=spec.name,
        columns=tuple(column.name for column in spec.columns) if len(sets) == 1 else (),
        takes_audio=all(one.comes_from_audio for one in sets),
        size_bytes=sum(file.size_bytes for file in manifest.files.values()),
        metrics=dict(manifest.metrics),
    )


@contextlib.asynccontextmanager
async def _upkeep(settings: Settings, uri: str, context: Context) -> AsyncIterator[None]:
    """One of all workers sees to what is to be done from time to time."""
    chores = Upkeep(
        context.database,
        context.storage,
        lease_s=settings.lease_s,
        uploads_kept_days=settings.uploads_kept_days or None,
        batches_kept_days=settings.batches_kept_days or None,
    )
    keeping_up = asyncio.create_task(keep_up(chores, functools.partial(connect, uri)))
    try:
        yield
    finally:
        keeping_up.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await keeping_up


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
