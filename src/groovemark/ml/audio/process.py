"""One child process of a sandbox, seen from the parent."""

from __future__ import annotations

import fcntl
import json
import os
import select
import subprocess
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import IO, cast

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.audio.messages import (
    LINE_BYTES_MAX,
    ProtocolError,
    Reply,
    decode_reply,
    encode_request,
)

START_S = 180.0
_READ_BYTES = 1 << 16
_PIPE_BYTES = 1 << 20
"""A window of half a minute has 2.6 MB: fewer turns than through the usual 64 KiB."""

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
    # In pages of 2 MB where the kernel offers them: a few per cent less time on spectra that are walked through often.
    "GLIBC_TUNABLES": "glibc.malloc.hugetlb=1",
}


class ChildEndedError(Exception):
    """The child has gone, or no longer speaks the protocol."""


class ChildTimedOutError(Exception):
    """The child did not answer in time."""


class Child:
    """A running `groovemark.ml.audio.child` and the pipes to it; for one thread at a time, but for `kill`.

    Args:
        config: target, memory_bytes, cpu_s and parent (the parent's process id), as the child reads them.
    """

    def __init__(self, config: Mapping[str, object]) -> None:
        inherited = {name: os.environ[name] for name in _INHERITED if name in os.environ}
        self._process = subprocess.Popen(
            [sys.executable, "-P", "-m", "groovemark.ml.audio.child", json.dumps(config)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            env=inherited | _ENVIRONMENT,
            bufsize=0,
        )
        self._requests = cast("IO[bytes]", self._process.stdin)
        self._answers = cast("IO[bytes]", self._process.stdout)
        self._received = bytearray()
        self._deadline = 0.0
        if sys.platform == "linux":
            with suppress(OSError):  # a user may have so much in pipes, and no more
                fcntl.fcntl(self._answers, fcntl.F_SETPIPE_SZ, _PIPE_BYTES)

    def wait_until_ready(self) -> None:
        """Raises ConfigurationError where it cannot load what it shall run, ChildEndedError where it ended."""
        self._deadline = time.monotonic() + START_S
        greeting = json.loads(self._read_line())
        if "failure" in greeting:
            remedy = " It needs torch: pip install '.[torch]'" if greeting["lacks"] == "torch" else ""
            raise ConfigurationError(f"The audio sandbox cannot start: {greeting['failure']}.{remedy}")

    def ask(self, path: str, spec_name: str, wall_s: float) -> Reply:
        """The first reply. Raises ChildEndedError or ChildTimedOutError; then the child is good for nothing more."""
        self._deadline = time.monotonic() + wall_s
        try:
            self._requests.write(encode_request(path, spec_name))
        except BrokenPipeError as error:
            raise ChildEndedError from error
        return self.next_reply()

    def next_reply(self, *, more_s: float = 0.0) -> Reply:
        """Of a child that gives several; it is granted so much more time. Raises as `ask` does."""
        self._deadline += more_s
        try:
            return decode_reply(self._read_line(), self._read)
        except ProtocolError as error:
            raise ChildEndedError from error

    def _wait(self) -> None:
        """Until something can be read."""
        left_s = self._deadline - time.monotonic()
        poll = select.poll()
        poll.register(self._answers, select.POLLIN)
        if left_s <= 0 or not poll.poll(left_s * 1000):
            raise ChildTimedOutError

    def _read_line(self) -> bytes:
        while (end := self._received.find(b"\n")) < 0:
            if len(self._received) > LINE_BYTES_MAX:
                raise ChildEndedError
            self._wait()
            received = os.read(self._answers.fileno(), _READ_BYTES)
            if not received:
                raise ChildEndedError
            self._received += received
        line = bytes(self._received[: end + 1])
        del self._received[: end + 1]
        return line

    def _read(self, size: int) -> NDArray[np.uint8]:
        data = np.empty(size, dtype=np.uint8)
        have = min(size, len(self._received))
        data[:have] = np.frombuffer(self._received[:have], dtype=np.uint8)
        del self._received[:have]
        while have < size:
            self._wait()
            received = os.readv(self._answers.fileno(), [data.data[have:]])
            if not received:
                raise ChildEndedError
            have += received
        return data

    @property
    def is_alive(self) -> bool:
        return self._process.poll() is None

    def kill(self) -> None:
        """Ends the process; a thread that waits for its answer learns so."""
        self._process.kill()

    def bury(self, *, grace_s: float = 0.0) -> int:
        """Waits for the end, or brings it about; returns the exit status, negative for a signal."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(timeout=grace_s)
        self._process.kill()
        status = self._process.wait()
        self._requests.close()
        self._answers.close()
        return status
