"""Fetching what a manifest's URLs name: from the web, from buckets, and from the server's own folders.

Only the public web is open to all. Buckets and folders are those that the operator names; by default there are none.
"""

from __future__ import annotations

import asyncio
import io
import os
import stat
import time
from collections.abc import Callable, Coroutine, Sequence
from contextlib import ExitStack
from pathlib import Path
from threading import Lock
from typing import Any

from groovemark.errors import FetchFailed
from groovemark.ingest.guarded import FetchLimits, GuardedClient
from groovemark.ingest.urls import SCHEMES, file_path, scheme_of, split_s3
from groovemark.ml.audio.slots import Abandoned
from groovemark.storage.base import storage_error

_COPY_BYTES = 256 * 1024
_S3_BLOCK_BYTES = 8 * 1024 * 1024
_S3_CONNECT_TIMEOUT_S = 5
_STOP_CHECK_S = 0.25

Write = Callable[[bytes], object]


class Remote:
    """Safe to share between threads.

    Args:
        http: for https:// and http://.
        s3_prefixes: s3://bucket or s3://bucket/prefix, below which objects may be read.
        file_roots: folders of this machine below which file:// may read.
        limits: of one file.
    """

    def __init__(
        self,
        http: GuardedClient,
        *,
        s3_prefixes: Sequence[str] = (),
        file_roots: Sequence[Path] = (),
        limits: FetchLimits,
    ) -> None:
        self._http, self._limits = http, limits
        self._s3_prefixes = [split_s3(prefix) for prefix in s3_prefixes]
        self._file_roots = [root.resolve() for root in file_roots]
        self._s3_opened: Any = None
        self._s3_lock = Lock()

    def fetch(self, url: str, target: Path, *, should_stop: Callable[[], bool] = lambda: False) -> None:
        """Write what the URL leads to into `target`, which must not exist and is the caller's to remove.

        Blocks, in a thread of its own.

        Args:
            should_stop: asked again and again; the caller's process may have to end before a slow server has answered.

        Raises:
            FetchFailed: with a message that tells what to do and names no URL.
            Abandoned: it was to stop.
        """
        ways = {"https": self._fetch_http, "http": self._fetch_http, "s3": self._fetch_s3, "file": self._fetch_file}
        way = ways.get(scheme_of(url))
        if way is None:
            raise FetchFailed("url_forbidden", f"A URL begins with {SCHEMES}.")
        with target.open("xb", buffering=0) as file:

            def write(piece: bytes) -> None:
                if should_stop():
                    raise Abandoned
                _write(file, piece)

            way(url, write, should_stop)

    def _fetch_http(self, url: str, write: Write, should_stop: Callable[[], bool]) -> None:
        asyncio.run(_unless(should_stop, self._http.get(url, write, self._limits)))

    def _fetch_s3(self, url: str, write: Write, _: Callable[[], bool]) -> None:
        bucket, key = split_s3(url)
        if not any(_is_below(bucket, key, prefix) for prefix in self._s3_prefixes):
            raise FetchFailed("url_forbidden", "The operator does not allow this bucket; FETCH_S3_PREFIXES names them.")
        files = self._s3()
        from botocore.exceptions import BotoCoreError

        try:
            size_bytes = int(files.info(f"{bucket}/{key}", refresh=True)["size"])
            self._refuse_oversize(size_bytes)
            with files.open(f"{bucket}/{key}", "rb", block_size=_S3_BLOCK_BYTES, size=size_bytes) as source:
                self._copy(source.read, write)
        except FileNotFoundError as error:
            raise FetchFailed("url_unreachable", "There is no such object in the bucket.") from error
        except PermissionError as error:
            raise FetchFailed("url_forbidden", "The service may not read this object; ask the operator.") from error
        except TimeoutError as error:
            raise FetchFailed("url_too_slow", "The bucket did not answer in time.") from error
        except (BotoCoreError, OSError) as error:
            raise FetchFailed("url_unreachable", "The bucket cannot be read at the moment.") from error

    def _s3(self) -> Any:
        try:
            import s3fs
        except ImportError as error:
            raise FetchFailed(
                "url_unreachable", "s3:// needs a package that is not installed: pip install 'groovemark[s3]'."
            ) from error
        with self._s3_lock:
            if self._s3_opened is None:
                timeouts = {"connect_timeout": _S3_CONNECT_TIMEOUT_S, "read_timeout": self._limits.answer_s}
                self._s3_opened = s3fs.S3FileSystem(
                    use_listings_cache=False, skip_instance_cache=True, config_kwargs=timeouts
                )
            return self._s3_opened

    def _fetch_file(self, url: str, write: Write, _: Callable[[], bool]) -> None:
        path = file_path(url)
        try:
            real = path.resolve()
        except (OSError, RuntimeError) as error:  # a loop of links
            raise _outside() from error
        root = next((root for root in self._file_roots if real.is_relative_to(root) and real != root), None)
        if root is None:
            raise _outside()
        try:
            with ExitStack() as stack:
                descriptor = _open_below(root, real.relative_to(root).parts, stack)
                self._refuse_oversize(os.fstat(descriptor).st_size)
                self._copy(lambda size: os.read(descriptor, size), write)
        except OSError as error:
            raise FetchFailed("url_unreachable", "There is no such file that the service may read.") from error

    def _copy(self, read: Callable[[int], bytes], write: Write) -> None:
        received, deadline = 0, time.monotonic() + self._limits.total_s
        while piece := read(_COPY_BYTES):
            received += len(piece)
            self._refuse_oversize(received)
            if time.monotonic() > deadline:
                raise FetchFailed("url_too_slow", f"The file did not come within {self._limits.total_s:g} s.")
            write(piece)

    def _refuse_oversize(self, size_bytes: int) -> None:
        if size_bytes > self._limits.bytes_max:
            raise FetchFailed("url_too_large", f"The file has more than {self._limits.bytes_max} bytes.")


async def _unless(should_stop: Callable[[], bool], work: Coroutine[Any, Any, None]) -> None:
    """Raises Abandoned, with the work cancelled, soon after it is to stop: a server that drips brings no piece."""
    task = asyncio.ensure_future(work)
    while not task.done():
        await asyncio.wait({task}, timeout=_STOP_CHECK_S)
        if should_stop() and task.cancel():
            await asyncio.wait({task})
            raise Abandoned
    task.result()


def _write(file: io.FileIO, piece: bytes) -> None:
    """A full disk is our fault and no file's."""
    try:
        written = 0
        while written < len(piece):
            written += file.write(memoryview(piece)[written:])
    except OSError as error:
        raise storage_error(error) from error


def _open_below(root: Path, parts: Sequence[str], stack: ExitStack) -> int:
    """A regular file's descriptor. Links were resolved before; one that has been put there since is not followed."""
    folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY)
    stack.callback(os.close, folder)
    for part in parts[:-1]:
        folder = os.open(part, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=folder)
        stack.callback(os.close, folder)
    # Not blocking: a pipe without a writer would hold the thread for ever.
    descriptor = os.open(parts[-1], os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK, dir_fd=folder)
    stack.callback(os.close, descriptor)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        raise OSError("not a regular file")
    return descriptor


def _is_below(bucket: str, key: str, prefix: tuple[str, str]) -> bool:
    return bucket == prefix[0] and (not prefix[1] or key.startswith(f"{prefix[1].rstrip('/')}/"))


def _outside() -> FetchFailed:
    return FetchFailed("url_forbidden", "The operator allows no files of this folder; FETCH_FILE_ROOTS names some.")
