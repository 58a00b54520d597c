"""What a task may touch. No behaviour here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from groovemark.db.session import Database
from groovemark.ingest.csv import CsvLimits
from groovemark.ingest.guarded import GuardedClient
from groovemark.ingest.open_archives import OpenArchives
from groovemark.ingest.remote import Remote
from groovemark.ml.features.file_extractor import FileExtractor
from groovemark.ml.models.cache import ModelCache
from groovemark.solitude import Solitude
from groovemark.storage.base import Storage


@dataclass(frozen=True)
class Context:
    """The parts of one worker process."""

    database: Database
    storage: Storage
    models: ModelCache
    extractor: FileExtractor
    csv_limits: CsvLimits
    manifest_limits: CsvLimits
    archives: OpenArchives
    http: GuardedClient
    remote: Remote
    webhook_key: bytes
    lease_s: float
    attempts_max: int
    solitude: Solitude
    stopping: asyncio.Event
    """Set when the process was asked to end: give unfinished work back."""
