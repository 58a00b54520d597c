"""Loops that several processes compile at the same time."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import pickle
import threading
from pathlib import Path

import numpy as np

SOURCE = """
from groovemark.ml.compiling import compiled

@compiled
def doubled(values):
    return values * 2
"""


def signatures_on_disk(folder: Path) -> set[str]:
    signatures = set()
    for path in (folder / "__pycache__").glob("*.nbi"):
        with path.open("rb") as index:
            pickle.load(index)  # noqa: S301  numba's version, in a file that this test had it write
            _, known = pickle.loads(index.read())  # noqa: S301
        signatures |= {str(signature) for signature, *_ in known}
    return signatures


def test_a_loop_is_kept_when_nobody_else_keeps_one(tmp_path: Path) -> None:
    """Of two processes that compiled one loop for different types, the second took the first one's file: the index led
    from one's types to the other's code, and every later call crashed."""
    path = tmp_path / "loops.py"
    path.write_text(SOURCE)
    spec = importlib.util.spec_from_file_location("loops", path)
    assert spec is not None
    assert spec.loader is not None
    loops = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loops)
    loops.doubled(np.float32(1))
    assert len(signatures_on_disk(tmp_path)) == 1

    other = os.open(tmp_path / "__pycache__", os.O_RDONLY)
    fcntl.flock(other, fcntl.LOCK_EX)
    call = threading.Thread(target=loops.doubled, args=(np.float64(1),))
    call.start()
    call.join(1)
    assert (call.is_alive(), len(signatures_on_disk(tmp_path))) == (True, 1)
    os.close(other)
    call.join(60)
    assert (call.is_alive(), len(signatures_on_disk(tmp_path))) == (False, 2)
