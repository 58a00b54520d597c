"""What a store is, wherever it keeps its bytes: objects named by their SHA-256, complete or absent."""

from __future__ import annotations

import errno
import hashlib
import os
import shutil
import uuid
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from groovemark.errors import Gone, ServiceError, StorageFull, StorageUnavailable

COPY_BYTES = 1024 * 1024
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}


@dataclass(frozen=True, slots=True)
class StoredObject:
    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class ListedObject:
    """An object as the store lists it. `age_s`: on the store's own clock, since it was last committed."""

    sha256: str
    size_bytes: int
    age_s: float


class IncomingObject:
    """A file being written. Leaving the context before it is committed removes it.

    Args:
        folder: where it lies meanwhile.
        is_kept_here: its bytes must be on the disk when it is finished, because this file becomes the object.
    """

    stored: StoredObject
    """What it is; known once it is finished."""

    def __init__(self, folder: Path, *, is_kept_here: bool) -> None:
        self.path = folder / uuid.uuid4().hex
        self._is_kept_here = is_kept_here
        self._hash = hashlib.sha256()
        try:
            self._file = self.path.open("xb", buffering=0)
        except OSError as error:
            raise storage_error(error) from error
        self.size_bytes = 0

    def write(self, data: bytes | memoryview) -> None:
        """Raises StorageFull when the disk has no room."""
        try:
            written = 0
            while written < len(data):
                written += self._file.write(memoryview(data)[written:]) or 0
        except OSError as error:
            raise storage_error(error) from error
        self._hash.update(data)
        self.size_bytes += len(data)

    def finish(self) -> None:
        """All bytes are there; the file takes no more, and no descriptor is held."""
        if self._file.closed:
            return
        try:
            if self._is_kept_here:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise storage_error(error) from error
        self._file.close()
        self.stored = StoredObject(self._hash.hexdigest(), self.size_bytes)

    def discard(self) -> None:
        with suppress(OSError):
            self._file.close()
        self.path.unlink(missing_ok=True)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.discard()


class Storage(Protocol):
    """The seam. Every method blocks; all of them raise StorageFull or StorageUnavailable where they cannot."""

    @property
    def incoming(self) -> Path:
        """A local folder for files in the making; what is left there is swept."""

    def receive(self) -> IncomingObject: ...

    def commit(self, finished: Iterable[IncomingObject]) -> None:
        """Durable as objects from here on, whole; their age begins anew even where the same bytes were there."""

    def put_file(self, source: Path) -> StoredObject:
        """Take a finished file into the store."""

    def path(self, sha256: str) -> Path:
        """Where the object lies while it is fetched."""

    def fetch(self, sha256: str) -> AbstractContextManager[Path]:
        """The object as a local file meanwhile, not to be written to. Raises Gone."""

    def pieces(self, sha256: str) -> Iterator[bytes]:
        """The object's bytes, a piece at a time. Raises Gone at once, before the first piece is asked for."""

    def missing(self, sha256s: Iterable[str]) -> set[str]:
        """Those that are not there."""

    def delete(self, sha256s: Iterable[str]) -> None:
        """Remove objects; those not there are passed over."""

    def objects(self) -> Iterator[ListedObject]:
        """All objects, in no order, in memory that does not grow with their number."""

    def sweep(self, *, older_than_s: float) -> int:
        """Remove what killed processes left half written so long ago; answers how many pieces it was."""


def put_file(storage: Storage, source: Path) -> StoredObject:
    with storage.receive() as incoming:
        for piece in read_pieces(source.open("rb")):
            incoming.write(piece)
        incoming.finish()
        storage.commit([incoming])
    return incoming.stored


def read_pieces(file: _Readable, *, size_bytes: int = COPY_BYTES) -> Iterator[bytes]:
    """Closes the file at its end."""
    with file:
        while piece := file.read(size_bytes):
            yield piece


class _Readable(AbstractContextManager["_Readable"], Protocol):
    def read(self, size: int, /) -> bytes: ...


def now_of(folder: Path) -> float:
    """The clock that stamps files in the folder, which may be another machine's."""
    os.utime(folder)
    return folder.stat().st_mtime


def sweep_folder(folder: Path, *, older_than_s: float) -> int:
    """Remove what was last written so long ago; nobody writes at one file for so long."""
    oldest = now_of(folder) - older_than_s
    removed = 0
    for path in folder.iterdir():
        with suppress(OSError):  # another process may be sweeping too
            if path.stat().st_mtime < oldest:
                shutil.rmtree(path) if path.is_dir() else path.unlink()
                removed += 1
    return removed


def is_no_room(error: Exception) -> bool:
    """Whether a disk is full, or the user's share of it."""
    return isinstance(error, OSError) and error.errno in _NO_ROOM


def storage_error(error: Exception) -> ServiceError:
    """What the service says of it."""
    if is_no_room(error):
        return StorageFull("The service's disk is full. Nothing was stored; try again when the operator has made room.")
    return StorageUnavailable("The store of uploads cannot be used at the moment; try again soon.")


def gone() -> Gone:
    return Gone("The file is no longer there: it was removed after its time.")
