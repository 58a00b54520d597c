"""Both stores."""

from __future__ import annotations

from pathlib import Path

import pytest

from groovemark.storage.base import Storage
from groovemark.storage.local import LocalStorage
from groovemark.storage.s3 import S3Storage
from tests.s3 import s3_environment, s3_place

__all__ = ["s3_environment", "s3_place"]


@pytest.fixture(params=["local", "s3"])
def storage(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "local":
        return LocalStorage(tmp_path / "store")
    return S3Storage(request.getfixturevalue("s3_place"), tmp_path / "store")
