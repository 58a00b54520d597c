"""Zip files kept open: reading a directory of thousands of entries takes longer than unpacking one of them."""

from __future__ import annotations

import zipfile
from collections import OrderedDict
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Lock

from groovemark.ingest.archive import ArchiveLimits, open_archive
from groovemark.storage.base import Storage

KEPT = 4
"""Shards of one zip come one after the other, and a few at once."""


class _Entry:
    def __init__(self) -> None:
        self.users = 0
        self.opening = Lock()
        self.archive: zipfile.ZipFile | None = None
        self.held = ExitStack()


class OpenArchives:
    """Archives of the store, of which the last used stay open. Safe to share between threads."""

    def __init__(self, storage: Storage, limits: ArchiveLimits) -> None:
        self._storage, self.limits = storage, limits
        self._entries: OrderedDict[str, _Entry] = OrderedDict()
        self._lock = Lock()

    @contextmanager
    def use(self, sha256: str) -> Iterator[zipfile.ZipFile]:
        """Raises Gone, StorageUnavailable, InputRejected or TooLarge."""
        with self._lock:
            entry = self._entries.setdefault(sha256, _Entry())
            self._entries.move_to_end(sha256)
            entry.users += 1
        try:
            yield self._opened(sha256, entry)
        finally:
            with self._lock:
                entry.users -= 1
                self._close_unused(KEPT)

    def close(self) -> None:
        with self._lock:
            self._close_unused(0)

    def _opened(self, sha256: str, entry: _Entry) -> zipfile.ZipFile:
        with entry.opening:
            if entry.archive is None:
                with ExitStack() as stack:
                    path = stack.enter_context(self._storage.fetch(sha256))
                    entry.archive = stack.enter_context(open_archive(path, self.limits))
                    entry.held = stack.pop_all()
            return entry.archive

    def _close_unused(self, kept: int) -> None:
        """The oldest first."""
        for sha256, entry in list(self._entries.items()):
            if len(self._entries) <= kept:
                return
            if not entry.users:
                del self._entries[sha256]
                entry.held.close()
