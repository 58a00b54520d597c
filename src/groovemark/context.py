"""What a task may touch. No behaviour here."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

from groovemark.db.session import Database
from groovemark.ingest.archive import ArchiveLimits
from groovemark.ingest.csv import CsvLimits
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.models.cache import ModelCache
from groovemark.storage.local import LocalStorage


@dataclass(frozen=True)
class Context:
    """The parts of one worker process."""

    database: Database
    storage: LocalStorage
    models: ModelCache
    sandbox: Sandbox
    csv_limits: CsvLimits
    archive_limits: ArchiveLimits
    lease_s: float
    attempts_max: int
    stopping: asyncio.Event
    """Set when the process was asked to end: give unfinished work back."""
