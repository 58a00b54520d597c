"""From a stream of audio files to a stream of their features, in the same order."""

from __future__ import annotations

import logging
import math
import time
from collections import deque
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Self

import numpy as np

from groovemark.errors import AudioRejected
from groovemark.ml.audio.messages import FileEnd, FileFeatures, Samples, not_finite
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.audio.slots import Abandoned
from groovemark.ml.features.cache import FeatureCache, content_sha256
from groovemark.ml.features.device import Choice, resolve
from groovemark.ml.features.device_batches import DeviceBatches
from groovemark.ml.features.spec import FeatureSpec

logger = logging.getLogger(__name__)

FILES_AHEAD = 8
"""In flight for each process: neither one long file nor a caller who is busy recording leaves a process idle."""
_THREADS_A_PROCESS = 2
"""One waits for the process while the other unpacks, hashes or looks up the next file."""
_STOP_CHECK_S = 0.25
TRIES = 3
"""A decoder that crashes may have been unlucky, when memory was short; one that crashes so often was not."""

Found = tuple[FileFeatures, ...] | AudioRejected
"""One a set of features, or why there are none of them."""


@dataclass(frozen=True)
class NamedFile:
    """One file to read.

    Attributes:
        key: the caller's name for it.
        path: where it lies, or will while it is at hand.
        sha256: of its content, where that is known.
    """

    key: str
    path: Path
    sha256: str | None = None

    @contextmanager
    def at_hand(self) -> Iterator[Path]:
        """Where the file lies meanwhile; to be overridden for files that must be fetched or unpacked first.

        Entered in a thread of its own. Raises AudioRejected where this file cannot be had.
        """
        yield self.path


class FileExtractor:
    """Decodes files in a sandbox, and extracts their features there or, in batches, on a device.

    Safe to share between threads.

    Args:
        sandbox: of `features.files:extract_file`, or with `batches` of `features.waveforms:decode_file`; closed with
            this.
        batches: where windows are extracted that the sandbox only decodes; closed with this.
        cache: asked before a file is opened, and told what was found.
    """

    def __init__(
        self, sandbox: Sandbox, *, batches: DeviceBatches | None = None, cache: FeatureCache | None = None
    ) -> None:
        self._sandbox, self._batches, self._cache = sandbox, batches, cache

    @classmethod
    def open(cls, device: Choice = "auto", *, processes: int = 1, cache: FeatureCache | None = None) -> Self:
        """With a sandbox that fits the device. Raises ConfigurationError where there is no such device."""
        found = resolve(device)
        if found == "cpu":
            return cls(Sandbox(processes=processes), cache=cache)
        sandbox = Sandbox("groovemark.ml.features.waveforms:decode_file", processes=processes)
        return cls(sandbox, batches=DeviceBatches(found), cache=cache)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Ready for the first file when it returns. Raises ConfigurationError."""
        if self._batches is not None:
            self._batches.warm()
        self._sandbox.warm()

    def close(self) -> None:
        """Ends the processes; files under way fail with Unavailable."""
        self._sandbox.close()
        if self._batches is not None:
            self._batches.close()

    def extract(
        self,
        files: Iterable[NamedFile],
        specs: Sequence[FeatureSpec],
        *,
        at_once: int = 1,
        within_s: float = math.inf,
        on_progress: Callable[[int], None] = lambda _: None,
        should_stop: Callable[[], bool] = lambda: False,
        lane: str = "",
        on_read: Callable[[], None] = lambda: None,
    ) -> Iterator[list[tuple[str, Found]]]:
        """Features of files in the order given, each on its own: a broken one costs its neighbours nothing.

        At most FILES_AHEAD files for each process are in flight, so memory does not grow with the number of files.
        Files in flight together whose content is known to be the same are read once.

        Args:
            files: read no faster than they are worked on.
            specs: the sets wanted of every file, for each of which it is decoded once.
            at_once: so many files are yielded together,
            within_s: or those that were finished so long after the first of them.
            on_progress: called with the number of files finished so far.
            should_stop: asked between files, and several times a second while waiting for one. After it answered true
                no file is begun; what is finished and next in order is still yielded, the rest is abandoned.
            lane: whoever the files are for; lanes share the processes fairly.
            on_read: called for every file that is read, in a thread, and not for those whose features are all known.

        Yields:
            (key, its features by set, or why there are none) of at least one file.

        Raises:
            ConfigurationError: the sandbox cannot start.
        """
        source = iter(files)
        in_flight: deque[tuple[NamedFile, Future[Found]]] = deque()
        executor = ThreadPoolExecutor(_THREADS_A_PROCESS * self._sandbox.processes, thread_name_prefix="files")
        chunk: list[tuple[str, Found]] = []
        n_done, deadline = 0, math.inf

        def read(path: Path, spec: FeatureSpec) -> FileFeatures:
            return self._read(path, spec, lane, should_stop)

        try:
            while True:
                while len(in_flight) < FILES_AHEAD * self._sandbox.processes and not should_stop():
                    if (file := next(source, None)) is None:
                        break
                    found = _same(file, in_flight) or executor.submit(self._found, file, specs, read, on_read)
                    in_flight.append((file, found))
                if in_flight and _finished(in_flight[0][1], should_stop, deadline):
                    file, found = in_flight.popleft()
                    if not chunk:
                        deadline = time.monotonic() + within_s
                    chunk.append((file.key, found.result()))
                    n_done += 1
                    on_progress(n_done)
                    if len(chunk) < at_once and time.monotonic() < deadline:
                        continue
                elif not chunk:
                    return
                yield chunk
                chunk, deadline = [], math.inf
        finally:
            executor.shutdown(wait=False, cancel_futures=True)

    def _found(
        self,
        file: NamedFile,
        specs: Sequence[FeatureSpec],
        read: Callable[[Path, FeatureSpec], FileFeatures],
        on_read: Callable[[], None],
    ) -> Found:
        try:
            found = [self._known(file.sha256, spec) for spec in specs]
            if complete := _complete(found):
                return complete
            with file.at_hand() as path:
                sha256 = file.sha256
                if self._cache is not None and sha256 is None:
                    sha256 = _hashed(path)
                    found = [self._known(sha256, spec) for spec in specs]
                    if complete := _complete(found):
                        return complete
                on_read()
                return tuple(
                    known or self._kept(sha256, spec, read(path, spec))
                    for known, spec in zip(found, specs, strict=True)
                )
        except AudioRejected as error:
            return error

    def _read(self, path: Path, spec: FeatureSpec, lane: str, should_stop: Callable[[], bool]) -> FileFeatures:
        for number in range(1, TRIES):
            try:
                return self._features(path, spec, lane, should_stop)
            except AudioRejected as error:
                if error.reason != "decoder_crashed":
                    raise
                logger.warning("%s, try %d of %d: %s", path.name, number, TRIES, error.message)
        return self._features(path, spec, lane, should_stop)

    def _features(self, path: Path, spec: FeatureSpec, lane: str, should_stop: Callable[[], bool]) -> FileFeatures:
        if self._batches is None:
            return self._sandbox.call(path, spec.name, lane=lane, should_stop=should_stop)
        decoded = _Decoded(self._sandbox.windows(path, spec.name, lane=lane, should_stop=should_stop))
        windows = self._batches.extract(decoded, spec)
        if not np.isfinite(windows).all():
            raise not_finite()
        return FileFeatures(windows, decoded.end.title, decoded.end.duration_s)

    def _known(self, sha256: str | None, spec: FeatureSpec) -> FileFeatures | None:
        return None if self._cache is None or sha256 is None else self._cache.get(sha256, spec)

    def _kept(self, sha256: str | None, spec: FeatureSpec, features: FileFeatures) -> FileFeatures:
        if self._cache is not None and sha256 is not None:
            try:
                self._cache.put(sha256, spec, features)
            except OSError as error:  # a full disk costs time later, not this file's features
                logger.warning("the feature cache cannot be written to: %s", error)
        return features


class _Decoded:
    """Windows as they come, and the file's end after them."""

    end: FileEnd

    def __init__(self, windows: Generator[Samples, None, FileEnd]) -> None:
        self._windows = windows

    def __iter__(self) -> Iterator[Samples]:
        self.end = yield from self._windows


def _complete(found: Iterable[FileFeatures | None]) -> tuple[FileFeatures, ...]:
    """All of them, or nothing."""
    known = list(found)
    return tuple(one for one in known if one is not None) if None not in known else ()


def _hashed(path: Path) -> str:
    try:
        return content_sha256(path)
    except OSError as error:
        raise AudioRejected("undecodable", f"The file cannot be opened: {error.strerror}.") from error


def _same(file: NamedFile, in_flight: Iterable[tuple[NamedFile, Future[Found]]]) -> Future[Found] | None:
    """What will be found of the same content."""
    if file.sha256 is None:
        return None
    return next((found for other, found in in_flight if other.sha256 == file.sha256), None)


def _finished(future: Future[Found], should_stop: Callable[[], bool], deadline: float) -> bool:
    """Waits until the future is done, the time has come, or the caller wants to stop."""
    while not future.done():
        left_s = deadline - time.monotonic()
        if left_s <= 0 or should_stop():
            return False
        wait([future], timeout=min(left_s, _STOP_CHECK_S))
    return not isinstance(future.exception(), Abandoned)
