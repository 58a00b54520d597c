from __future__ import annotations

import os
from pathlib import Path

import pytest


@pytest.fixture
def data_folder() -> Path:
    """Where the real data is; skips the test where it is not."""
    folder = Path(os.environ.get("GROOVEMARK_DATA", "../shared/data"))
    if not (folder / "gtzan").is_dir():
        pytest.skip(f"needs the data: set GROOVEMARK_DATA (no {folder}/gtzan)")
    return folder
