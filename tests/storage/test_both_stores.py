"""What every store promises: whole objects under their hash, or nothing."""

from __future__ import annotations

import hashlib
import os
import time
from contextlib import suppress
from pathlib import Path

import pytest

from groovemark.errors import Gone, StorageFull
from groovemark.storage.base import Storage, StoredObject


def put(storage: Storage, content: bytes) -> StoredObject:
    with storage.receive() as incoming:
        incoming.write(content)
        incoming.finish()
        storage.commit([incoming])
    return incoming.stored


def sha256_of(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def names(storage: Storage) -> list[str]:
    return sorted(found.sha256 for found in storage.objects())


def test_object_appears_under_its_hash_only_when_it_is_committed(storage: Storage) -> None:
    sha256 = sha256_of(b"half and half")
    with storage.receive() as incoming:
        incoming.write(b"half")
        incoming.write(memoryview(b" and half"))
        incoming.finish()
        assert storage.missing([sha256]) == {sha256}
        storage.commit([incoming])
    assert incoming.stored == StoredObject(sha256, 13)
    assert b"".join(storage.pieces(sha256)) == b"half and half"
    assert names(storage) == [sha256]
    assert list(storage.incoming.iterdir()) == []


def test_what_is_not_committed_is_removed_whatever_happened(storage: Storage) -> None:
    with suppress(RuntimeError), storage.receive() as incoming:
        incoming.write(b"half")
        raise RuntimeError
    with storage.receive() as incoming:
        incoming.finish()
    assert list(storage.incoming.iterdir()) == []
    assert names(storage) == []


def test_many_objects_are_committed_together(storage: Storage) -> None:
    contents = [b"%d" % number for number in range(40)]
    many = [storage.receive() for _ in contents]
    for content, incoming in zip(contents, many, strict=True):
        incoming.write(content)
    storage.commit(many)
    for incoming in many:
        incoming.discard()
    shas = {sha256_of(content) for content in contents}
    assert set(names(storage)) == shas
    assert storage.missing({*shas, sha256_of(b"other")}) == {sha256_of(b"other")}


def test_same_bytes_are_kept_once_and_are_new_again(storage: Storage, tmp_path: Path) -> None:
    """An object that is sent again must not look old to the sweep."""
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    first = storage.put_file(source)
    time.sleep(2.2)  # S3 tells whole seconds
    [old] = storage.objects()
    second = storage.put_file(source)
    [new] = storage.objects()
    assert first == second
    assert old.size_bytes == new.size_bytes == 3_000_000
    assert old.age_s >= 2 > new.age_s >= 0
    assert b"".join(storage.pieces(first.sha256)) == source.read_bytes()


def test_fetched_object_lies_at_its_path_meanwhile(storage: Storage) -> None:
    stored = put(storage, b"content")
    for _ in range(2):
        with storage.fetch(stored.sha256) as path:
            assert path == storage.path(stored.sha256)
            assert path.read_bytes() == b"content"


def test_deleted_object_is_gone_and_says_so_before_the_first_byte(storage: Storage) -> None:
    kept, stored = put(storage, b"kept"), put(storage, b"content")
    storage.delete([stored.sha256, sha256_of(b"never there")])
    assert names(storage) == [kept.sha256]
    with pytest.raises(Gone):
        storage.pieces(stored.sha256)
    with pytest.raises(Gone), storage.fetch(stored.sha256):
        pass


def test_full_disk_is_said_so_and_leaves_nothing(storage: Storage) -> None:
    with storage.receive() as incoming:
        os.dup2(os.open("/dev/full", os.O_WRONLY), incoming._file.fileno())
        with pytest.raises(StorageFull):
            incoming.write(b"x")
    assert list(storage.incoming.iterdir()) == []


def test_what_a_killed_process_left_is_swept_and_a_running_upload_is_not(storage: Storage) -> None:
    """A killed API once left its half upload for ever."""
    stored = put(storage, b"whole")
    old, new = storage.incoming / "old", storage.incoming / "new"
    folder = storage.incoming / "unpacked"
    folder.mkdir()
    (folder / "member").write_bytes(b"half")
    for path in (old, new):
        path.write_bytes(b"half")
    for path in (old, folder):
        os.utime(path, (1, 1))
    assert storage.sweep(older_than_s=60) == 2
    assert list(storage.incoming.iterdir()) == [new]
    assert names(storage) == [stored.sha256]
