"""Which store a setting names."""

from __future__ import annotations

from pathlib import Path

from groovemark.storage.base import Storage
from groovemark.storage.local import LocalStorage
from groovemark.storage.s3 import SCHEME, S3Storage


def open_storage(place: str, folder: Path) -> Storage:
    """The store at a folder's path or an s3:// address; `folder` is the local one, of which S3 needs a little.

    Raises ConfigurationError where the S3 client is not installed, or the address names no bucket.
    """
    return S3Storage(place, folder) if place.startswith(SCHEME) else LocalStorage(Path(place))
