from __future__ import annotations

import fcntl
import os
from importlib.util import find_spec
from pathlib import Path

import pytest


@pytest.fixture(scope="session", autouse=True)
def librosas_loops() -> None:
    """Compiled by one process at a time, where librosa is new: numba's files of two that compile at once do not fit
    together, and every process that uses them crashes."""
    spec = find_spec("librosa")
    assert spec is not None
    folder = os.open(Path(str(spec.origin)).parent, os.O_RDONLY)
    fcntl.flock(folder, fcntl.LOCK_EX)
    try:
        pass
    finally:
        os.close(folder)


@pytest.fixture
def data_folder() -> Path:
    """Where the real data is; skips the test where it is not."""
    folder = Path(os.environ.get("GROOVEMARK_DATA", "../shared/data"))
    if not (folder / "gtzan").is_dir():
        pytest.skip(f"needs the data: set GROOVEMARK_DATA (no {folder}/gtzan)")
    return folder
