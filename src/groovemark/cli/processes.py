"""The processes that `groovemark up` starts, and ends."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from dataclasses import dataclass, field

GRACE_S = 30.0
RESTART_PAUSE_S = 1.0
_PR_SET_PDEATHSIG = 1


def _end_with_parent() -> None:
    """Runs in the new process: were `up` killed hard, the kernel would end this one too."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)


@dataclass
class Child:
    """One command of groovemark's own as a process; it is started again whenever it ends by itself."""

    command: str
    environment: Mapping[str, str]
    _process: subprocess.Popen[bytes] = field(init=False)

    def __post_init__(self) -> None:
        self._start()

    def _start(self) -> None:
        # A session of its own: Ctrl-C reaches `up` alone, which ends the others in order.
        self._process = subprocess.Popen(
            [sys.executable, "-m", "groovemark", self.command],
            env={**os.environ, **self.environment},
            stdin=subprocess.DEVNULL,
            start_new_session=True,
            preexec_fn=_end_with_parent,  # noqa: PLW1509  `up` has no threads when it starts processes
        )

    @property
    def exit_code(self) -> int | None:
        return self._process.poll()

    def restart_if_dead(self) -> bool:
        """Whether it had ended and was started again."""
        if self.exit_code is None:
            return False
        self._start()
        return True

    def move(self, environment: Mapping[str, str]) -> None:
        """Have it end, so that its next start sees the changed environment."""
        self.environment = {**self.environment, **environment}
        self.ask_to_end()

    def ask_to_end(self) -> None:
        if self.exit_code is None:
            self._process.terminate()

    def wait_until_ended(self) -> None:
        """Killed when it takes longer than the grace time."""
        try:
            self._process.wait(GRACE_S)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()


def stop_event() -> threading.Event:
    """Set by Ctrl-C or SIGTERM."""
    stop = threading.Event()
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, lambda *_: stop.set())
    return stop
