from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from groovemark.ml.encoders.musicnn_source import find_weights


@pytest.fixture
def musicnn_folder(data_folder: Path) -> Path:
    """The extracted weights of the PyPI package; skips the test where they are not."""
    folder = data_folder / "pretrained" / "musicnn"
    if not (folder / "MSD_musicnn.npz").is_file():
        pytest.skip(f"needs the weights of MusiCNN (no {folder}/MSD_musicnn.npz)")
    return folder


@pytest.fixture
def weights(musicnn_folder: Path) -> Mapping[str, NDArray[np.float32]]:
    return find_weights(musicnn_folder)
