"""Zips that stay open: fetched once, closed when others were used since, and never under somebody's hands."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier

import pytest

from groovemark.errors import Gone, InputRejected
from groovemark.ingest.archive import ArchiveLimits
from groovemark.ingest.open_archives import KEPT, OpenArchives
from groovemark.storage.local import LocalStorage

LIMITS = ArchiveLimits(members_max=10, member_bytes_max=1000, total_bytes_max=1000)


@pytest.fixture
def storage(tmp_path: Path) -> LocalStorage:
    return LocalStorage(tmp_path / "store")


@pytest.fixture
def archives(storage: LocalStorage) -> Iterator[OpenArchives]:
    found = OpenArchives(storage, LIMITS)
    yield found
    found.close()


def store(storage: LocalStorage, content: bytes) -> str:
    with storage.receive() as incoming:
        incoming.write(content)
        incoming.finish()
        storage.commit([incoming])
        return incoming.stored.sha256


def packed(text: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.wav", text)
    return buffer.getvalue()


def test_archive_is_fetched_once_for_all_who_use_it(storage: LocalStorage, archives: OpenArchives) -> None:
    sha256 = store(storage, packed(b"sound"))
    at_once = Barrier(8)

    def read(_: int) -> tuple[int, bytes]:
        at_once.wait()
        with archives.use(sha256) as archive:
            return id(archive), archive.read("a.wav")

    with ThreadPoolExecutor(8) as threads:
        found = set(threads.map(read, range(8)))
    assert len(found) == 1
    assert {content for _, content in found} == {b"sound"}


def test_longest_unused_archive_is_closed_and_opened_again_when_needed(
    storage: LocalStorage, archives: OpenArchives
) -> None:
    several = [store(storage, packed(b"%d" % number)) for number in range(KEPT + 1)]
    opened = []
    for sha256 in several:
        with archives.use(sha256) as archive:
            opened.append(archive)
    assert [archive.fp is None for archive in opened] == [True] + [False] * KEPT
    with archives.use(several[0]) as again:
        assert again is not opened[0]
        assert again.read("a.wav") == b"0"


def test_archive_in_use_stays_open_whatever_else_is_used(storage: LocalStorage, archives: OpenArchives) -> None:
    with archives.use(store(storage, packed(b"first"))) as first:
        for number in range(2 * KEPT):
            with archives.use(store(storage, packed(b"%d" % number))):
                pass
        assert first.read("a.wav") == b"first"


def test_what_is_no_zip_or_is_gone_is_refused_each_time(storage: LocalStorage, archives: OpenArchives) -> None:
    sha256 = store(storage, b"no zip")
    for _ in range(2):
        with pytest.raises(InputRejected), archives.use(sha256):
            pass
        with pytest.raises(Gone), archives.use("0" * 64):
            pass


def test_closing_ends_all(storage: LocalStorage, archives: OpenArchives) -> None:
    with archives.use(store(storage, packed(b"sound"))) as archive:
        pass
    archives.close()
    assert archive.fp is None
