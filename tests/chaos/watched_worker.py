"""A worker that writes down every file it begins, and whose decoder does what a marked file tells it to.

It is the worker of `groovemark worker` with another sandbox: the faults happen where a damaged file would cause them.
The last eight bytes of a file are its mark, see `marks`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from os import PathLike
from pathlib import Path
from typing import Any

from groovemark import worker
from groovemark.config import Settings
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.file_extractor import FileExtractor
from groovemark.observability import logging
from tests.chaos.marks import FATAL, mark_of


class WatchedSandbox(Sandbox):
    def call(self, path: str | PathLike[str], spec_name: str, **options: Any) -> FileFeatures:
        content = Path(path).read_bytes()
        with Path(os.environ["CHAOS_CALLS"]).open("a") as file:
            file.write(f"{time.time()} {hashlib.sha256(content).hexdigest()}\n")
        if mark_of(content) == FATAL:
            os._exit(9)  # as the kernel ends a worker that has taken all memory
        return super().call(path, spec_name, **options)


def extractor(settings: Settings) -> FileExtractor:
    wall_s = float(os.environ.get("CHAOS_WALL_S", "600"))
    return FileExtractor(WatchedSandbox("tests.chaos.marks:extract", processes=settings.audio_processes, wall_s=wall_s))


if __name__ == "__main__":
    if not hasattr(worker, "_extractor"):
        raise SystemExit("groovemark.worker makes its extractor elsewhere now")
    worker._extractor = extractor
    found = Settings()
    logging.configure(level=found.log_level, format=found.log_format)
    asyncio.run(worker.run_worker(found))
