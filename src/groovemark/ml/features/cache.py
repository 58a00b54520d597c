"""Features kept on disk, so that the same bytes are never decoded twice for the same set."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from os import PathLike
from pathlib import Path

from groovemark.ml.audio.messages import FileFeatures, ProtocolError, decode_reply, encode_features
from groovemark.ml.features.spec import FeatureSpec


def content_sha256(path: str | PathLike[str]) -> str:
    """Of the file's bytes; its name does not matter."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FeatureCache:
    """One file an entry, keyed by the content and by the spec: a spec that changes finds nothing of the old one.

    Safe to share between processes: an entry appears whole or not at all, and one that cannot be read is none.
    It only grows; deleting any part of the folder is always allowed.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def _path(self, sha256: str, spec: FeatureSpec) -> Path:
        return self._folder / f"{spec.name}-{spec.sha256[:16]}" / sha256[:2] / sha256

    def get(self, sha256: str, spec: FeatureSpec) -> FileFeatures | None:
        """What was put for these bytes and this spec, bit for bit."""
        try:
            entry = io.BytesIO(self._path(sha256, spec).read_bytes())
            found = decode_reply(entry.readline(), lambda size: _exactly(entry, size))
        except (OSError, ProtocolError):
            return None
        return found if isinstance(found, FileFeatures) else None

    def put(self, sha256: str, spec: FeatureSpec, features: FileFeatures) -> None:
        """Raises OSError where the disk does not take it."""
        path = self._path(sha256, spec)
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, name = tempfile.mkstemp(dir=path.parent, prefix=".")
        try:
            with os.fdopen(handle, "wb") as file:
                file.write(encode_features(features))
            Path(name).replace(path)
        except BaseException:
            Path(name).unlink(missing_ok=True)
            raise


def _exactly(entry: io.BytesIO, size: int) -> bytes:
    data = entry.read(size)
    if len(data) != size:
        raise ValueError("the entry was cut short")
    return data
