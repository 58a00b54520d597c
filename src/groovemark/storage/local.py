"""A folder of objects named by their SHA-256.

Bytes arrive in `incoming/` and are renamed into `objects/ab/abcd…` when they are complete, so a reader never sees
half a file and the same bytes are kept once.
"""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

from groovemark.errors import StorageFull

COPY_BYTES = 1024 * 1024
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class StoredObject:
    sha256: str
    size_bytes: int


class IncomingObject:
    """A file being written. Leaving the context before it is committed removes it."""

    stored: StoredObject
    """What it is; known once it is finished."""

    def __init__(self, storage: LocalStorage) -> None:
        self._storage = storage
        self._path = storage.incoming / uuid.uuid4().hex
        self._hash = hashlib.sha256()
        self._file = self._path.open("xb", buffering=0)
        self.size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Raises StorageFull when the disk has no room."""
        try:
            written = 0
            while written < len(data):
                written += self._file.write(memoryview(data)[written:]) or 0
        except OSError as error:
            raise _storage_error(error) from error
        self._hash.update(data)
        self.size_bytes += len(data)

    def finish(self) -> None:
        """All bytes are there and on the disk; the file takes no more, and no descriptor is held."""
        try:
            os.fsync(self._file.fileno())
        except OSError as error:
            raise _storage_error(error) from error
        self._file.close()
        self.stored = StoredObject(self._hash.hexdigest(), self.size_bytes)

    def place(self) -> Path:
        """Give the file its final name; answers the folder, whose entry is not on the disk yet."""
        if not self._file.closed:
            self.finish()
        target = self._storage.path(self.stored.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        self._path.replace(target)
        return target.parent

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        self._path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class LocalStorage:
    """Objects in a folder that the API and the workers share."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self.incoming = folder / "incoming"
        for place in (self._objects, self.incoming):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, sha256: str) -> Path:
        """Where the object lies, or will."""
        return self._objects / sha256[:2] / sha256

    def sweep(self, *, older_than_s: float) -> None:
        """Remove what a killed process left half written; nobody writes at one file for so long."""
        oldest = time.time() - older_than_s
        for path in self.incoming.iterdir():
            with suppress(OSError):  # another process may be sweeping too
                if path.stat().st_mtime < oldest:
                    shutil.rmtree(path) if path.is_dir() else path.unlink()

    def receive(self) -> IncomingObject:
        try:
            return IncomingObject(self)
        except OSError as error:
            raise _storage_error(error) from error

    def commit(self, finished: Iterable[IncomingObject]) -> None:
        """Durable under their final names from here on."""
        try:
            folders = {incoming.place() for incoming in finished}
            for folder in (*folders, self._objects):
                _sync_folder(folder)
        except OSError as error:
            raise _storage_error(error) from error

    def put_file(self, source: Path) -> StoredObject:
        """Take a finished file into the store."""
        with self.receive() as incoming:
            for piece in _pieces(source):
                incoming.write(piece)
            self.commit([incoming])
        return incoming.stored

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """The object's bytes, a piece at a time."""
        return _pieces(self.path(sha256))


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(COPY_BYTES):
            yield piece


def _sync_folder(folder: Path) -> None:
    """A name is as durable as its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _storage_error(error: OSError) -> Exception:
    if error.errno in _NO_ROOM:
        return StorageFull("The service's disk is full. Nothing was stored; try again when the operator has made room.")
    return error
