"""The store in a folder."""

from __future__ import annotations

import os
from pathlib import Path

from groovemark.storage.local import LocalStorage


def test_store_is_readable_by_its_owner_alone(tmp_path: Path) -> None:
    LocalStorage(tmp_path / "store")
    assert {path.stat().st_mode & 0o077 for path in (tmp_path / "store").iterdir()} == {0}


def test_first_file_of_a_form_that_took_hours_is_not_old(tmp_path: Path) -> None:
    """The sweep of objects that nobody refers to would take it before its batch is recorded."""
    storage = LocalStorage(tmp_path)
    with storage.receive() as incoming:
        incoming.write(b"x")
        os.utime(incoming.path, (1, 1))
        storage.commit([incoming])
    [stored] = storage.objects()
    assert stored.age_s < 60
