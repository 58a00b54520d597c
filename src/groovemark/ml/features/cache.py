"""Features kept on disk, so that the same bytes are never decoded twice for the same set."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from contextlib import suppress
from os import PathLike
from pathlib import Path
from threading import Lock

from groovemark.ml.audio.messages import FileFeatures, ProtocolError, decode_reply, encode_features
from groovemark.ml.features.spec import FeatureSpec

_SLACK = 1 / 16


def content_sha256(path: str | PathLike[str]) -> str:
    """Of the file's bytes; its name does not matter."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class FeatureCache:
    """One file an entry, keyed by the content and by the spec: a spec that changes finds nothing of the old one.

    Safe to share between threads and processes: an entry appears whole or not at all, and one that cannot be read is
    none. Deleting any part of the folder is always allowed.

    Args:
        folder: made if need be.
        bytes_max: of disk; beyond it, those entries go that were not asked for the longest. Each process looks after
            it has written a sixteenth of that, so there may be as much more for each. None: it only grows.
    """

    def __init__(self, folder: Path, *, bytes_max: int | None = None) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._bytes_max = folder, bytes_max
        # What earlier processes left is looked through with the first entry.
        self._unswept_bytes = bytes_max or 0
        self._lock = Lock()

    def _path(self, sha256: str, spec: FeatureSpec) -> Path:
        return self._folder / f"{spec.name}-{spec.sha256[:16]}" / sha256[:2] / sha256

    def get(self, sha256: str, spec: FeatureSpec) -> FileFeatures | None:
        """What was put for these bytes and this spec, bit for bit."""
        path = self._path(sha256, spec)
        try:
            entry = io.BytesIO(path.read_bytes())
            found = decode_reply(entry.readline(), lambda size: _exactly(entry, size))
        except (OSError, ProtocolError):
            return None
        if self._bytes_max is not None:
            with suppress(OSError):  # another process may have swept it away just now
                os.utime(path)
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
        if self._bytes_max is not None:
            self._count(_disk_bytes(path.stat()), self._bytes_max)

    def _count(self, written_bytes: int, bytes_max: int) -> None:
        with self._lock:
            self._unswept_bytes += written_bytes
            if self._unswept_bytes < bytes_max * _SLACK:
                return
            self._unswept_bytes = 0
        self._sweep(bytes_max)

    def _sweep(self, bytes_max: int) -> None:
        """Those asked for last stay, and a little room for the next."""
        entries = []
        for folder, _, names in os.walk(self._folder):
            for name in names:
                with suppress(OSError):  # gone meanwhile
                    path = os.path.join(folder, name)  # noqa: PTH118  there may be hundreds of thousands
                    status = os.stat(path)  # noqa: PTH116
                    entries.append((status.st_mtime_ns, _disk_bytes(status), path))
        entries.sort(reverse=True)
        kept_bytes = 0
        for _, size_bytes, path in entries:
            kept_bytes += size_bytes
            if kept_bytes > bytes_max * (1 - _SLACK):
                with suppress(OSError):
                    os.unlink(path)  # noqa: PTH108


def _disk_bytes(status: os.stat_result) -> int:
    """A file takes whole blocks, however small it is."""
    return status.st_blocks * 512


def _exactly(entry: io.BytesIO, size: int) -> bytes:
    data = entry.read(size)
    if len(data) != size:
        raise ValueError("the entry was cut short")
    return data
