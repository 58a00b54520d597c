"""The store in a bucket: what is its own business."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from groovemark.errors import ConfigurationError, StorageUnavailable
from groovemark.storage.fetched import FetchedFiles
from groovemark.storage.s3 import S3Storage
from tests.conftest import free_port


def test_bucket_that_does_not_answer_is_unavailable(
    s3_place: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{free_port()}")
    storage = S3Storage(s3_place, tmp_path)
    with storage.receive() as incoming:
        incoming.write(b"x")
        with pytest.raises(StorageUnavailable):
            storage.commit([incoming])
    assert list(storage.incoming.iterdir()) == []


def test_bucket_that_is_not_there_is_unavailable(s3_place: str, tmp_path: Path) -> None:
    storage = S3Storage("s3://other-bucket", tmp_path)
    with storage.receive() as incoming, pytest.raises(StorageUnavailable):
        storage.commit([incoming])


def test_address_without_a_bucket_is_refused(tmp_path: Path) -> None:
    pytest.importorskip("s3fs")
    with pytest.raises(ConfigurationError, match="bucket"):
        S3Storage("s3://", tmp_path)


def test_multipart_upload_that_was_never_finished_is_swept(s3_place: str, tmp_path: Path) -> None:
    storage = S3Storage(s3_place, tmp_path)
    bucket, _, prefix = s3_place.removeprefix("s3://").partition("/")
    for key in (f"{prefix}/objects/ab/half", "somebody/elses"):
        storage._files.call_s3("create_multipart_upload", Bucket=bucket, Key=key)
    assert storage.sweep(older_than_s=3600) == 1  # this server says of every upload that it was begun in 2010
    assert [upload["Key"] for upload in storage._files.list_multipart_uploads(bucket)] == ["somebody/elses"]


def write(path: Path) -> None:
    path.write_bytes(b"x" * 100)


def test_fetched_files_are_kept_within_a_bound_but_never_taken_from_who_uses_them(tmp_path: Path) -> None:
    fetched = FetchedFiles(tmp_path, bytes_max=250)
    with fetched.hold("a", write) as first:
        for name in "bcd":
            with fetched.hold(name, write):
                pass
        assert first.exists()
        assert {path.name for path in tmp_path.iterdir()} == {"a", "d"}
    with fetched.hold("e", write), fetched.hold("f", write):
        assert {path.name for path in tmp_path.iterdir()} == {"e", "f"}


def test_who_wants_the_same_file_at_once_waits_for_one_download(tmp_path: Path) -> None:
    fetched = FetchedFiles(tmp_path, bytes_max=1000)
    begun, go_on = threading.Event(), threading.Event()
    downloads = []

    def slow(path: Path) -> None:
        downloads.append(path)
        begun.set()
        go_on.wait(10)
        write(path)

    def read() -> None:
        with fetched.hold("a", slow) as path:
            assert path.read_bytes() == b"x" * 100

    readers = [threading.Thread(target=read) for _ in range(4)]
    readers[0].start()
    begun.wait(10)
    for reader in readers[1:]:
        reader.start()
    go_on.set()
    for reader in readers:
        reader.join(10)
        assert not reader.is_alive()
    assert len(downloads) == 1
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_download_that_fails_leaves_nothing(tmp_path: Path) -> None:
    fetched = FetchedFiles(tmp_path, bytes_max=1000)

    def fail(path: Path) -> None:
        path.write_bytes(b"half")
        raise StorageUnavailable("no answer")

    with pytest.raises(StorageUnavailable), fetched.hold("a", fail):
        pass
    assert list(tmp_path.iterdir()) == []
