"""Objects in a bucket of S3, or of anything that speaks its protocol.

A file is written to the local disk first, because its name is the hash of all of it, and appears in the bucket whole:
so does every put of S3, a multipart one included. It is put even where the same bytes lie already: that makes them
new again for the sweep, and costs no more than asking.
"""

from __future__ import annotations

import datetime as dt
from collections.abc import Iterable, Iterator
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import Any

from groovemark.errors import ConfigurationError
from groovemark.storage.base import (
    IncomingObject,
    ListedObject,
    StoredObject,
    gone,
    put_file,
    read_pieces,
    storage_error,
    sweep_folder,
)
from groovemark.storage.fetched import FetchedFiles

SCHEME = "s3://"
FETCHED_BYTES_MAX = 16 * 1024**3
"""Disk for objects that workers read: a few of the largest zips, each of which many shards come back to."""
_PIECE_BYTES = 8 * 1024 * 1024
_CONNECT_TIMEOUT_S = 5
_READ_TIMEOUT_S = 30
_AT_ONCE = 16
_DELETED_AT_ONCE = 1000  # S3 takes no more in a call


class S3Storage:
    """A `storage.base.Storage`. Keys, region and endpoint come from the usual AWS_* environment variables.

    Args:
        place: s3://bucket or s3://bucket/prefix.
        folder: on the local disk, for files in the making and for those fetched.
    """

    def __init__(self, place: str, folder: Path, *, fetched_bytes_max: int = FETCHED_BYTES_MAX) -> None:
        try:
            import s3fs
        except ImportError as error:
            raise ConfigurationError("STORAGE_PATH is on S3; install groovemark[s3].") from error
        root = place.removeprefix(SCHEME).strip("/")
        if not root:
            raise ConfigurationError("STORAGE_PATH must name a bucket: s3://bucket or s3://bucket/prefix.")
        self._objects, self._clock = f"{root}/objects", f"{root}/clock"
        self._bucket, _, self._objects_prefix = self._objects.partition("/")
        self.incoming = folder / "incoming"
        self.incoming.mkdir(parents=True, exist_ok=True, mode=0o700)
        self._fetched = FetchedFiles(folder / "fetched", bytes_max=fetched_bytes_max)
        self._files: Any = s3fs.S3FileSystem(
            use_listings_cache=False,
            skip_instance_cache=True,
            config_kwargs={"connect_timeout": _CONNECT_TIMEOUT_S, "read_timeout": _READ_TIMEOUT_S},
        )

    def path(self, sha256: str) -> Path:
        return self._fetched.path(sha256)

    def receive(self) -> IncomingObject:
        return IncomingObject(self.incoming, is_kept_here=False)

    def commit(self, finished: Iterable[IncomingObject]) -> None:
        files = list(finished)
        for incoming in files:
            incoming.finish()
        keys = [self._key(incoming.stored.sha256) for incoming in files]
        with _failing():
            self._files.put([str(incoming.path) for incoming in files], keys, batch_size=_AT_ONCE)

    def put_file(self, source: Path) -> StoredObject:
        return put_file(self, source)

    def fetch(self, sha256: str) -> AbstractContextManager[Path]:
        return self._fetched.hold(sha256, lambda target: self._download(sha256, target))

    def _download(self, sha256: str, target: Path) -> None:
        with _failing(absent_is_gone=True):
            self._files.get_file(self._key(sha256), str(target))

    def pieces(self, sha256: str) -> Iterator[bytes]:
        with _failing(absent_is_gone=True):
            file = self._files.open(self._key(sha256), "rb", cache_type="none")
        return _failing_pieces(read_pieces(file, size_bytes=_PIECE_BYTES))

    def missing(self, sha256s: Iterable[str]) -> set[str]:
        from fsspec.asyn import sync

        with _failing():
            return set(sync(self._files.loop, self._missing, list(sha256s)))

    async def _missing(self, sha256s: list[str]) -> list[str]:
        """Asked of the bucket many at a time."""
        from fsspec.asyn import _run_coros_in_chunks

        asked = [self._files._exists(self._key(sha256)) for sha256 in sha256s]
        there = await _run_coros_in_chunks(asked, batch_size=_AT_ONCE)
        return [sha256 for sha256, is_there in zip(sha256s, there, strict=True) if not is_there]

    def delete(self, sha256s: Iterable[str]) -> None:
        keys = [self._key(sha256).removeprefix(f"{self._bucket}/") for sha256 in sha256s]
        for start in range(0, len(keys), _DELETED_AT_ONCE):
            unwanted = [{"Key": key} for key in keys[start : start + _DELETED_AT_ONCE]]
            with _failing():
                answer = self._files.call_s3(
                    "delete_objects", Bucket=self._bucket, Delete={"Objects": unwanted, "Quiet": True}
                )
                if answer.get("Errors"):
                    raise OSError(str(answer["Errors"][0]))

    def objects(self) -> Iterator[ListedObject]:
        """Folder by folder, so that no more than a 256th of them is in memory."""
        with _failing():
            now = self._now()
            folders = self._list(self._objects)
        for folder in folders:
            with _failing():
                found = self._list(folder["name"])
            for entry in found:
                age_s = (now - entry["LastModified"]).total_seconds()
                yield ListedObject(entry["name"].rpartition("/")[2], int(entry["size"]), age_s)

    def _list(self, folder: str) -> list[dict[str, Any]]:
        with suppress(FileNotFoundError):
            found: list[dict[str, Any]] = self._files.ls(folder, detail=True)
            return found
        return []

    def _now(self) -> dt.datetime:
        """The bucket's own clock."""
        self._files.pipe_file(self._clock, b"")
        found: dt.datetime = self._files.info(self._clock)["LastModified"]
        return found

    def sweep(self, *, older_than_s: float) -> int:
        here = sweep_folder(self.incoming, older_than_s=older_than_s) + self._fetched.sweep(older_than_s=older_than_s)
        with _failing():
            oldest = self._now() - dt.timedelta(seconds=older_than_s)
            begun = [
                upload
                for upload in self._files.list_multipart_uploads(self._bucket)
                if upload["Key"].startswith(self._objects_prefix) and upload["Initiated"] < oldest
            ]
            for upload in begun:
                self._files.call_s3(
                    "abort_multipart_upload", Bucket=self._bucket, Key=upload["Key"], UploadId=upload["UploadId"]
                )
        return here + len(begun)

    def _key(self, sha256: str) -> str:
        return f"{self._objects}/{sha256[:2]}/{sha256}"


@contextmanager
def _failing(*, absent_is_gone: bool = False) -> Iterator[None]:
    """What the bucket, the network or the disk says, in the service's words."""
    from botocore.exceptions import BotoCoreError

    try:
        yield
    except (OSError, BotoCoreError) as error:
        if absent_is_gone and isinstance(error, FileNotFoundError):
            raise gone() from error
        raise storage_error(error) from error


def _failing_pieces(pieces: Iterator[bytes]) -> Iterator[bytes]:
    with _failing():
        yield from pieces
