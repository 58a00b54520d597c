"""Untrusted audio is read in expendable processes: what crashes, hangs or swells one harms no other file."""

from __future__ import annotations

import json
import os
import queue
import select
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import PathLike
from threading import Lock
from typing import Self

from groovemark.errors import AudioRejected, ConfigurationError, Unavailable
from groovemark.ml.audio.messages import (
    LINE_BYTES_MAX,
    FileFeatures,
    ProtocolError,
    Rejection,
    decode_reply,
    encode_request,
)

START_S = 180.0
_READ_BYTES = 1 << 16

_INHERITED = ("PATH", "HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PYTHONPATH", "TMPDIR")
"""Nothing else of the parent's environment, which holds secrets, reaches a child."""

_ENVIRONMENT = {
    "OMP_NUM_THREADS": "1",
    "MKL_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "CUDA_VISIBLE_DEVICES": "",
    # Freed tensors stay with the process: returning and faulting in their pages would cost half the time.
    "MALLOC_MMAP_THRESHOLD_": "4294967296",
    "MALLOC_TRIM_THRESHOLD_": "8589934592",
    "MALLOC_TOP_PAD_": "268435456",
}


class _EndedError(Exception):
    """The child has gone, or no longer speaks the protocol."""


class _TimedOutError(Exception):
    """The child did not answer in time."""


class _Child:
    """One process and the pipe to it; used by one thread at a time."""

    def __init__(self, config: dict[str, object]) -> None:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "groovemark.ml.audio.child", json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited | _ENVIRONMENT,
            cwd="/",
            bufsize=0,
        )
        self._buffer = bytearray()
        self._deadline = 0.0

    def wait_until_ready(self) -> None:
        """Raises ConfigurationError where the child cannot load what it shall run."""
        self._deadline = time.monotonic() + START_S
        try:
            greeting = json.loads(self._read_line())
        except (_EndedError, _TimedOutError, ValueError) as error:
            raise ConfigurationError("A process of the audio sandbox did not start.") from error
        if "failure" in greeting:
            raise ConfigurationError(
                f"The audio sandbox cannot start: {greeting['failure']}. Is groovemark[torch] installed?"
            )

    def ask(self, request: bytes, wall_s: float) -> FileFeatures | Rejection:
        """Raises _EndedError or _TimedOutError; then the child is good for nothing more."""
        assert self._process.stdin is not None  # noqa: S101 - for the type checker
        self._deadline = time.monotonic() + wall_s
        try:
            self._process.stdin.write(request)
            return decode_reply(self._read_line(), self._read)
        except (BrokenPipeError, ProtocolError) as error:
            raise _EndedError from error

    def _fill(self) -> None:
        assert self._process.stdout is not None  # noqa: S101
        descriptor = self._process.stdout.fileno()
        left_s = self._deadline - time.monotonic()
        poll = select.poll()
        poll.register(descriptor, select.POLLIN)
        if left_s <= 0 or not poll.poll(left_s * 1000):
            raise _TimedOutError
        received = os.read(descriptor, _READ_BYTES)
        if not received:
            raise _EndedError
        self._buffer += received

    def _read_line(self) -> bytes:
        while (end := self._buffer.find(b"\n")) < 0:
            if len(self._buffer) > LINE_BYTES_MAX:
                raise _EndedError
            self._fill()
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line

    def _read(self, size: int) -> bytes:
        while len(self._buffer) < size:
            self._fill()
        data = bytes(self._buffer[:size])
        del self._buffer[:size]
        return data

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> int:
        """Ends the process and reaps it; returns its exit status, negative for a signal."""
        self._process.kill()
        status = self._process.wait()
        for pipe in (self._process.stdin, self._process.stdout):
            if pipe is not None:
                pipe.close()
        return status

    def exit_status(self) -> int:
        """Of a child that has ended, or is made to."""
        try:
            status = self._process.wait(timeout=1.0)
        except subprocess.TimeoutExpired:
            return self.kill()
        self.kill()
        return status


class Sandbox:
    """A few child processes that run `target` on one file at a time.

    Safe to share between threads; as many calls run at once as there are processes. Children start on first
    use or by `warm`, and a child that failed is replaced when it is next needed.

    Args:
        target: `module:function` of signature (path, spec name) -> FileFeatures, imported in the child only.
        processes: children, one thread each.
        memory_bytes: writable memory of a child.
        cpu_s: processor time for one file.
        wall_s: time for one file, waiting for the processor included.
    """

    def __init__(
        self,
        target: str = "groovemark.ml.features.files:extract_file",
        *,
        processes: int = 1,
        memory_bytes: int = 1 << 30,
        cpu_s: int = 300,
        wall_s: float = 600.0,
    ) -> None:
        self.processes = processes
        self._config = {"target": target, "memory_bytes": memory_bytes, "cpu_s": cpu_s, "parent": os.getpid()}
        self._wall_s = wall_s
        self._slots: queue.LifoQueue[_Child | None] = queue.LifoQueue()
        for _ in range(processes):
            self._slots.put(None)
        # The kernel kills a child when the *thread* that started it ends; this one ends with the sandbox.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox")
        self._children: set[_Child] = set()
        self._lock = Lock()
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Starts every child and waits until it has loaded its target. Raises ConfigurationError."""
        taken = [self._slots.get() for _ in range(self.processes)]
        try:
            for index, child in enumerate(taken):
                taken[index] = self._live(child)
        finally:
            for child in taken:
                self._slots.put(child)

    def call(self, path: str | PathLike[str], spec_name: str) -> FileFeatures:
        """The target's answer for one file; waits for a free child.

        Raises AudioRejected with the target's own reason, `decoder_crashed` or `decoder_timed_out`.
        """
        request = encode_request(os.fspath(path), spec_name)
        with self._borrowed() as slot:
            child = slot[0] = self._live(slot[0])
            try:
                reply = child.ask(request, self._wall_s)
            except _TimedOutError:
                slot[0] = self._bury(child)[0]
                raise self._timed_out() from None
            except _EndedError:
                slot[0], status = self._bury(child)
                raise self._ended(status) from None
        if isinstance(reply, Rejection):
            raise AudioRejected(reply.reason, reply.message)
        return reply

    def close(self) -> None:
        """Kills the children; calls under way fail. A closed sandbox stays closed."""
        with self._lock:
            self._closed = True
            children, self._children = self._children, set()
        for child in children:
            child.kill()
        self._starter.shutdown()

    @contextmanager
    def _borrowed(self) -> Iterator[list[_Child | None]]:
        slot = [self._slots.get()]
        try:
            yield slot
        finally:
            self._slots.put(slot[0])

    def _live(self, child: _Child | None) -> _Child:
        if child is not None and child.is_alive:
            return child
        if child is not None:
            self._bury(child)
        with self._lock:
            if self._closed:
                raise Unavailable("The audio sandbox is closed.")
            started = self._starter.submit(_Child, self._config).result()
            self._children.add(started)
        try:
            started.wait_until_ready()
        except BaseException:
            self._bury(started)
            raise
        return started

    def _bury(self, child: _Child) -> tuple[None, int]:
        with self._lock:
            self._children.discard(child)
        return None, child.exit_status()

    def _ended(self, status: int) -> Exception:
        if self._closed:
            return Unavailable("The audio sandbox was closed.")
        if status == -signal.SIGXCPU:
            return self._timed_out()
        how = signal.Signals(-status).name if status < 0 else f"status {status}"
        return AudioRejected("decoder_crashed", f"The decoder ended with {how} on this file; it is damaged.")

    def _timed_out(self) -> AudioRejected:
        return AudioRejected(
            "decoder_timed_out",
            f"Reading took over {self._config['cpu_s']} s of processor time or {self._wall_s:.0f} s in all.",
        )
