from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from tiny_data import tiny_config, write_tiny_audio, write_tiny_data

from groovemark.ml.datasets import READERS
from groovemark.ml.train import train
from groovemark.ml.training.config import SearchConfig


@pytest.fixture(scope="session")
def tiny_data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def tiny_audio(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with audio beside the tables; features taken meanwhile are kept in a folder of their own."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield write_tiny_audio(write_tiny_data(tmp_path_factory.mktemp("data")))


@pytest.fixture(scope="session")
def tiny_models(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with one small model for every dataset."""
    root = tmp_path_factory.mktemp("model")
    for dataset in READERS:
        ship = "folds" if dataset == "echonest" else "all"
        config = tiny_config(dataset, ship=ship, variants=(), search=SearchConfig())
        train(config, tiny_data, root / config.name, command="test", report=lambda _: None)
    return root
