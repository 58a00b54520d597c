"""Objects of a remote store, brought here for those who need a file: each once, and the oldest go when room is wanted.

Processes share the folder. Whoever uses a file holds a shared lock on it, so that no other removes it meanwhile.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from groovemark.storage.base import sweep_folder

_PART = ".part"


class FetchedFiles:
    """A folder of at most about `bytes_max` beside what is in use."""

    def __init__(self, folder: Path, *, bytes_max: int) -> None:
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._folder, self._bytes_max = folder, bytes_max

    def path(self, name: str) -> Path:
        return self._folder / name

    @contextmanager
    def hold(self, name: str, download: Callable[[Path], None]) -> Iterator[Path]:
        """The file, there until the context ends; downloaded where it was not."""
        path = self.path(name)
        while (descriptor := _lock_shared(path)) is None:
            self._bring(path, download)
        try:
            os.utime(path)
            yield path
        finally:
            os.close(descriptor)

    def sweep(self, *, older_than_s: float) -> int:
        """Downloads that were never finished, and files that nobody has used for so long."""
        return sweep_folder(self._folder, older_than_s=older_than_s)

    def _bring(self, path: Path, download: Callable[[Path], None]) -> None:
        """One of those who want it downloads it, and the others wait."""
        part = path.with_suffix(_PART)
        descriptor = os.open(part, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            try:
                if _is_same(descriptor, part) and not path.exists():
                    download(part)
                    part.replace(path)
            finally:
                if _is_same(descriptor, part):
                    part.unlink()
        finally:
            os.close(descriptor)
        self._make_room()

    def _make_room(self) -> None:
        found = []
        for path in self._folder.iterdir():
            with suppress(FileNotFoundError):
                found.append((path.stat().st_mtime, path.stat().st_size, path))
        too_much = sum(size for _, size, _ in found) - self._bytes_max
        for _, size, path in sorted(found)[:-1]:  # the newest is about to be used
            if too_much <= 0:
                return
            if path.suffix != _PART and _remove_unused(path):
                too_much -= size


def _lock_shared(path: Path) -> int | None:
    """A descriptor that keeps the file; None where it is not there, or was removed while the lock was waited for."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except FileNotFoundError:
        return None
    fcntl.flock(descriptor, fcntl.LOCK_SH)
    if _is_same(descriptor, path):
        return descriptor
    os.close(descriptor)
    return None


def _remove_unused(path: Path) -> bool:
    with suppress(OSError):
        descriptor = os.open(path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            path.unlink()
        finally:
            os.close(descriptor)
        return True
    return False


def _is_same(descriptor: int, path: Path) -> bool:
    """Whether the open file still has this name."""
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False
