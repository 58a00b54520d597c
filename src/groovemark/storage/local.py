"""A folder of objects that the API and the workers share.

Bytes arrive in `incoming/` and are renamed into `objects/ab/abcd…` when they are complete, so a reader never sees
half a file and the same bytes are kept once.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from groovemark.storage.base import (
    IncomingObject,
    ListedObject,
    StoredObject,
    gone,
    now_of,
    put_file,
    read_pieces,
    storage_error,
    sweep_folder,
)


class LocalStorage:
    """A `storage.base.Storage`; a folder on a shared disk serves several machines."""

    def __init__(self, folder: Path) -> None:
        self._objects = folder / "objects"
        self.incoming = folder / "incoming"
        for place in (self._objects, self.incoming):
            place.mkdir(parents=True, exist_ok=True, mode=0o700)

    def path(self, sha256: str) -> Path:
        return self._objects / sha256[:2] / sha256

    def receive(self) -> IncomingObject:
        return IncomingObject(self.incoming, is_kept_here=True)

    def commit(self, finished: Iterable[IncomingObject]) -> None:
        try:
            folders = {self._place(incoming) for incoming in finished}
            for folder in (*folders, self._objects):
                _sync_folder(folder)
        except OSError as error:
            raise storage_error(error) from error

    def _place(self, incoming: IncomingObject) -> Path:
        """Give the file its final name; answers the folder, whose entry is not on the disk yet."""
        incoming.finish()
        target = self.path(incoming.stored.sha256)
        target.parent.mkdir(parents=True, exist_ok=True)
        os.utime(incoming.path)  # a form may take hours to come in: its first file must not look old already
        incoming.path.replace(target)
        return target.parent

    def put_file(self, source: Path) -> StoredObject:
        return put_file(self, source)

    @contextmanager
    def fetch(self, sha256: str) -> Iterator[Path]:
        path = self.path(sha256)
        if not path.exists():
            raise gone()
        yield path

    def pieces(self, sha256: str) -> Iterator[bytes]:
        try:
            file = self.path(sha256).open("rb")
        except FileNotFoundError as error:
            raise gone() from error
        except OSError as error:
            raise storage_error(error) from error
        return read_pieces(file)

    def missing(self, sha256s: Iterable[str]) -> set[str]:
        return {sha256 for sha256 in sha256s if not self.path(sha256).exists()}

    def delete(self, sha256s: Iterable[str]) -> None:
        try:
            for sha256 in sha256s:
                self.path(sha256).unlink(missing_ok=True)
        except OSError as error:
            raise storage_error(error) from error

    def objects(self) -> Iterator[ListedObject]:
        now = now_of(self.incoming)
        for folder in self._objects.iterdir():
            with os.scandir(folder) as entries:
                for entry in entries:
                    with suppress(FileNotFoundError):
                        found = entry.stat()
                        yield ListedObject(entry.name, found.st_size, now - found.st_mtime)

    def sweep(self, *, older_than_s: float) -> int:
        return sweep_folder(self.incoming, older_than_s=older_than_s)


def _sync_folder(folder: Path) -> None:
    """A name is as durable as its folder."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
