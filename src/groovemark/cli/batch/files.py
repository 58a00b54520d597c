"""Files of this machine: collected, and put together to requests of bounded size."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from groovemark.errors import RequestRejected
from groovemark.ml.audio.suffixes import AUDIO_SUFFIXES

ARCHIVE = ".zip"
SUFFIXES = AUDIO_SUFFIXES | {ARCHIVE}
REQUEST_FILES_MAX = 100
REQUEST_BYTES_MAX = 64 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file and the name that it is sent under, which becomes its id."""

    path: Path
    name: str
    size_bytes: int

    @property
    def is_archive(self) -> bool:
        return self.name.lower().endswith(ARCHIVE)


def local_file(path: Path) -> LocalFile:
    """Raises RequestRejected when it is not there."""
    try:
        return LocalFile(path, path.name, path.stat().st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


def collect(paths: Sequence[Path]) -> list[LocalFile]:
    """The files themselves, and of folders all audio and zips below them. Raises RequestRejected."""
    found = [file for path in paths for file in _files(path)]
    if not found:
        raise RequestRejected(f"There are no files to send; of folders, {', '.join(sorted(SUFFIXES))} are sent.")
    by_name: dict[str, LocalFile] = {}
    for file in found:
        other = by_name.setdefault(file.name, file)
        if other is not file:
            raise RequestRejected(
                f"{other.path} and {file.path} would both be called '{file.name}'; send their folder."
            )
    return found


def _files(path: Path) -> Iterator[LocalFile]:
    if not path.is_dir():
        yield local_file(path)
        return
    try:
        for file in sorted(path.rglob("*")):
            if file.suffix.lower() in SUFFIXES and file.is_file():
                yield LocalFile(file, file.relative_to(path).as_posix(), file.stat().st_size)
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError) -> RequestRejected:
    return RequestRejected(f"{error.filename or path} cannot be read: {error.strerror}.")


def group(files: Sequence[LocalFile]) -> Iterator[list[LocalFile]]:
    """As many files as a request is to hold; one that is larger goes alone, and so does a zip.

    What a zip holds is unknown until the batch starts: it can be sent again only as the same request.
    """
    together: list[LocalFile] = []
    size = 0
    for file in files:
        if file.is_archive:
            yield [file]
            continue
        if together and (len(together) == REQUEST_FILES_MAX or size + file.size_bytes > REQUEST_BYTES_MAX):
            yield together
            together, size = [], 0
        together.append(file)
        size += file.size_bytes
    if together:
        yield together
