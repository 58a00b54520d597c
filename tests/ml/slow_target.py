"""A target for sandboxes that needs no audio: file names say how long it takes and what it finds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from groovemark.errors import AudioRejected
from groovemark.ml.audio.messages import FileFeatures


def run(path: str, spec_name: str) -> FileFeatures:
    """`0.2-3`: sleeps 0.2 s, finds 3 windows; `crash` ends the process, `bad` is rejected."""
    delay, _, count = Path(path).name.partition("-")
    if delay == "crash":
        os._exit(1)
    if delay == "bad":
        raise AudioRejected("undecodable", "no audio")
    time.sleep(float(delay))
    windows = np.tile(np.arange(int(count), dtype=np.float32)[:, None], (1, 42))
    return FileFeatures(windows, f"title of {Path(path).name}", 30.0 * int(count))
