"""A worker that writes down every file it begins, and whose decoder does what a marked file tells it to.

It is the worker of `groovemark worker` with another sandbox: the faults happen where a damaged file would cause them.
The last eight bytes of a file are its mark, see `marks`.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import time
from pathlib import Path

from groovemark import worker
from groovemark.config import Settings
from groovemark.ml.audio import sandbox
from groovemark.ml.audio.messages import Reply
from groovemark.ml.audio.process import Child
from groovemark.ml.features.file_extractor import FileExtractor
from groovemark.observability import logging
from tests.chaos.marks import FATAL, mark_of


class WatchedChild(Child):
    """A file is begun when a child that was free is handed it, and not while it waits for one."""

    def ask(self, path: str, spec_name: str, wall_s: float) -> Reply:
        content = Path(path).read_bytes()
        # By the parent: a child may write no file.
        with Path(os.environ["CHAOS_CALLS"]).open("a") as file:
            file.write(f"{time.time()} {hashlib.sha256(content).hexdigest()}\n")
        if mark_of(content) == FATAL:
            os._exit(9)  # as the kernel ends a worker that has taken all memory
        return super().ask(path, spec_name, wall_s)


def extractor(settings: Settings) -> FileExtractor:
    wall_s = float(os.environ.get("CHAOS_WALL_S", "600"))
    target = "tests.chaos.marks:extract"
    return FileExtractor(sandbox.Sandbox(target, processes=settings.audio_processes, wall_s=wall_s))


if __name__ == "__main__":
    if not hasattr(worker, "_extractor") or not hasattr(sandbox, "Child"):
        raise SystemExit("groovemark makes its extractor or its sandbox's children elsewhere now")
    worker._extractor = extractor
    setattr(sandbox, "Child", WatchedChild)  # noqa: B010  a type checker allows no other way
    found = Settings()
    logging.configure(level=found.log_level, format=found.log_format)
    asyncio.run(worker.run_worker(found))
