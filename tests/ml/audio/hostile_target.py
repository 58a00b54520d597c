"""What a decoder may do to the process it runs in, chosen by the file's name; sandboxes in tests run this."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import time
from pathlib import Path

import numpy as np

from groovemark.errors import AudioRejected
from groovemark.ml.audio.messages import FileFeatures


def run(path: str, spec_name: str) -> FileFeatures:
    kind = Path(path).name.partition("-")[0]
    windows = np.array([[1.5, -0.25, 1e-30]], dtype=np.float32)
    title = None
    if kind in DEEDS:
        DEEDS[kind]()
    elif kind == "nan":
        windows[0, 1] = np.nan
    elif kind == "environment":
        title = ",".join(sorted(os.environ))
    elif kind == "attempts":
        title = ",".join(_refused(Path(path)))
    return FileFeatures(windows, title or f"{Path(path).name} {spec_name}", 12.5)


def _busy(cpu_s: float) -> None:
    end = time.process_time() + cpu_s
    while time.process_time() < end:
        pass


def _raise(error: Exception) -> None:
    raise error


DEEDS = {
    "crash": lambda: ctypes.string_at(0),
    "exit": lambda: os._exit(3),
    "raise": lambda: _raise(RuntimeError("a bug")),
    "reject": lambda: _raise(AudioRejected("too_short", "The audio lasts 0.10 s.")),
    "spin": lambda: _busy(1e9),
    "busy": lambda: _busy(0.5),
    "sleep": lambda: time.sleep(60),
    "slow": lambda: time.sleep(0.3),
    "swell": lambda: np.zeros(1 << 30, dtype=np.float32),
    "chatter": lambda: os.write(1, b'{"shape": [1, 1], "title": null, "duration_s": 1.0}\nAAAA'),
}


def _refused(path: Path) -> list[str]:
    """Names of the attempts at the outside world that failed."""
    attempts = {
        "socket": lambda: socket.socket().close(),
        "program": lambda: subprocess.run(["true"], check=True),
        "write": lambda: path.with_name("written").write_bytes(b"x"),
        "remove": path.unlink,
        "rename": lambda: path.rename(path.with_name("renamed")),
    }
    refused = []
    for name, attempt in attempts.items():
        try:
            attempt()
        except OSError:
            refused.append(name)
    return refused
