"""The store: whole objects under their hash, or nothing."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress
from pathlib import Path

import pytest

from groovemark.errors import StorageFull
from groovemark.storage.local import LocalStorage


def files_in(folder: Path) -> list[Path]:
    return [path for path in folder.rglob("*") if path.is_file()]


def test_object_appears_under_its_hash_only_when_it_is_committed(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.receive() as incoming:
        incoming.write(b"half")
        incoming.write(memoryview(b" and half"))
        incoming.finish()
        path = storage.path(hashlib.sha256(b"half and half").hexdigest())
        assert not path.exists()
        storage.commit([incoming])
    assert path.read_bytes() == b"half and half"
    assert (incoming.stored.sha256, incoming.stored.size_bytes) == (path.name, 13)
    assert files_in(tmp_path) == [path]


def test_what_is_not_committed_is_removed_whatever_happened(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with suppress(RuntimeError), storage.receive() as incoming:
        incoming.write(b"half")
        raise RuntimeError
    with storage.receive() as incoming:
        incoming.finish()
    assert files_in(tmp_path) == []


def test_many_objects_are_committed_together(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    many = [storage.receive() for _ in range(3)]
    for number, incoming in enumerate(many):
        incoming.write(b"%d" % number)
    storage.commit(many)
    assert sorted(path.read_bytes() for path in files_in(tmp_path)) == [b"0", b"1", b"2"]


def test_same_bytes_are_kept_once(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path / "store")
    source = tmp_path / "source"
    source.write_bytes(b"x" * 3_000_000)
    first, second = storage.put_file(source), storage.put_file(source)
    assert first == second
    assert len(files_in(tmp_path / "store")) == 1
    assert b"".join(storage.pieces(first.sha256)) == source.read_bytes()


def test_full_disk_is_said_so_and_leaves_nothing(tmp_path: Path) -> None:
    storage = LocalStorage(tmp_path)
    with storage.receive() as incoming:
        os.dup2(os.open("/dev/full", os.O_WRONLY), incoming._file.fileno())
        with pytest.raises(StorageFull):
            incoming.write(b"x")
    assert files_in(tmp_path) == []


def test_store_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "store")
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "store").iterdir()} == {0}


def test_what_a_killed_process_left_is_swept_and_a_running_upload_is_not(tmp_path: Path) -> None:
    """A killed API once left its half upload for ever."""
    storage = LocalStorage(tmp_path)
    old, new = storage.incoming / "old", storage.incoming / "new"
    folder = storage.incoming / "unpacked"
    folder.mkdir()
    (folder / "member").write_bytes(b"half")
    for path in (old, new):
        path.write_bytes(b"half")
    for path in (old, folder):
        os.utime(path, (1, 1))
    storage.sweep(older_than_s=60)
    assert list(storage.incoming.iterdir()) == [new]
