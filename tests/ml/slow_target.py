"""A target for sandboxes that needs no audio: file names say how long it takes and what it finds."""

from __future__ import annotations

import os
import time
from pathlib import Path

import numpy as np

from groovemark.errors import AudioRejected
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.tabular import row_length


def run(path: str, spec_name: str) -> FileFeatures:
    """`0.2-3`: sleeps 0.2 s, finds 3 windows, of tensors twice as many; `crash` ends the process, `bad` is rejected.

    `unlucky` ends the process while it is there, and has a window when it is not.
    """
    delay, _, count = Path(path).name.partition("-")
    if delay == "crash" or (delay == "unlucky" and Path(path).exists()):
        os._exit(1)
    if delay == "unlucky":
        delay, count = "0", "1"
    if delay == "bad":
        raise AudioRejected("undecodable", "no audio")
    time.sleep(float(delay))
    spec = FEATURE_SETS[spec_name]
    n_windows = 2 * int(count) if spec.shape else int(count)
    windows = np.tile(np.arange(n_windows, dtype=np.float32)[:, None], (1, row_length(spec)))
    return FileFeatures(windows, f"title of {Path(path).name}", 30.0 * int(count))
