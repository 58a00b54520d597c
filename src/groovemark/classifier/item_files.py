"""The files that items stand for, at hand one at a time: stored uploads, unpacked members of zips, fetched URLs."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from sqlalchemy import RowMapping

from groovemark.context import Context
from groovemark.errors import AudioRejected, FetchFailed, Gone, InputRejected, TooLarge
from groovemark.ingest.archive import extract_member
from groovemark.ingest.open_archives import OpenArchives
from groovemark.ingest.remote import Remote
from groovemark.ml.features.file_extractor import NamedFile
from groovemark.storage.base import Storage


def key_of(item: RowMapping) -> str:
    """By which an item's file is called."""
    return str(item["position"])


def item_files(
    context: Context, items: Iterable[RowMapping], folder: Path, *, should_stop: Callable[[], bool]
) -> Iterator[NamedFile]:
    """A file for each item, in their order; `folder` is for those that must be unpacked or fetched."""
    for item in items:
        key, sha256 = key_of(item), item["sha256"]
        if item["url"] is not None:
            yield _Remote(key, folder / key, remote=context.remote, url=item["url"], should_stop=should_stop)
        elif item["member"] is None:
            yield _Stored(key, context.storage.path(sha256), sha256, object=sha256, storage=context.storage)
        else:
            yield _Member(key, folder / key, archives=context.archives, archive=sha256, name=item["member"])


@dataclass(frozen=True, kw_only=True)
class _Stored(NamedFile):
    """An upload."""

    object: str
    storage: Storage

    @contextmanager
    def at_hand(self) -> Iterator[Path]:
        try:
            with self.storage.fetch(self.object) as path:
                yield path
        except Gone as error:
            raise _gone() from error


@dataclass(frozen=True, kw_only=True)
class _Member(NamedFile):
    """A file of a zip: it lies at its path while it is read."""

    archives: OpenArchives
    archive: str
    name: str

    @contextmanager
    def at_hand(self) -> Iterator[Path]:
        try:
            self._unpack()
            yield self.path
        finally:
            self.path.unlink(missing_ok=True)

    def _unpack(self) -> None:
        try:
            with self.archives.use(self.archive) as archive:
                extract_member(archive, self.name, self.path, self.archives.limits)
        except Gone as error:
            raise _gone() from error
        except (InputRejected, TooLarge) as error:
            raise AudioRejected("undecodable", "the zip file is damaged") from error


@dataclass(frozen=True, kw_only=True)
class _Remote(NamedFile):
    """What a URL leads to: it lies at its path while it is read."""

    remote: Remote
    url: str = field(repr=False)  # it may hold a signature
    should_stop: Callable[[], bool]

    @contextmanager
    def at_hand(self) -> Iterator[Path]:
        try:
            self.remote.fetch(self.url, self.path, should_stop=self.should_stop)
            yield self.path
        except FetchFailed as error:
            raise AudioRejected(error.reason, error.message) from error
        finally:
            self.path.unlink(missing_ok=True)


def _gone() -> AudioRejected:
    return AudioRejected("upload_gone", "the uploaded file was removed before it was read; send it again")
