"""Untrusted audio is read in expendable processes: what crashes, hangs or swells one harms no other file."""

from __future__ import annotations

import os
import queue
import signal
from concurrent.futures import ThreadPoolExecutor
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Self

from groovemark.errors import AudioRejected, ConfigurationError, ServiceError, Unavailable
from groovemark.ml.audio.messages import FileFeatures, Rejection
from groovemark.ml.audio.process import Child, ChildEndedError, ChildTimedOutError


class Sandbox:
    """A few child processes that run `target` on one file at a time.

    Safe to share between threads; as many calls run at once as there are processes. Children start on first use
    or by `warm`; one that failed is replaced when it is next needed.

    Args:
        target: `module:function` of signature (path, spec name) -> FileFeatures, imported in the child only.
        processes: children, one thread each.
        memory_bytes: writable memory of a child, its libraries' included.
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
        self._cpu_s, self._wall_s = cpu_s, wall_s
        self._slots: queue.LifoQueue[Child | None] = queue.LifoQueue()
        for _ in range(processes):
            self._slots.put(None)
        # The kernel ends a child with the *thread* that started it; this one lasts as long as the sandbox.
        self._starter = ThreadPoolExecutor(1, thread_name_prefix="sandbox")
        self._children: set[Child] = set()
        self._lock = Lock()
        self._is_closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def warm(self) -> None:
        """Starts every child and waits until it has loaded its target. Raises ConfigurationError."""
        children = [self._slots.get() for _ in range(self.processes)]
        try:
            for index, child in enumerate(children):
                children[index] = None
                children[index] = self._live(child)
        finally:
            for child in children:
                self._slots.put(child)

    def call(self, path: str | PathLike[str], spec_name: str) -> FileFeatures:
        """The target's answer for one file; waits for a free child.

        Raises AudioRejected with the target's own reason, `decoder_crashed` or `decoder_timed_out`.
        """
        slot = self._slots.get()
        try:
            slot = child = self._live(slot)
            reply = child.ask(str(Path(path).absolute()), spec_name, self._wall_s)
            if isinstance(reply, Rejection) and reply.reason == "decoder_crashed":
                child.bury()
        except ChildTimedOutError as error:
            child.bury()
            raise self._timed_out() from error
        except ChildEndedError as error:
            raise self._ended(child.bury(grace_s=1.0)) from error
        finally:
            # Whoever takes the slot next replaces a child that has ended.
            self._slots.put(slot)
        if isinstance(reply, FileFeatures):
            return reply
        raise AudioRejected(reply.reason, reply.message)

    def close(self) -> None:
        """Ends the children; calls under way fail. A closed sandbox stays closed."""
        with self._lock:
            self._is_closed = True
            for child in self._children:
                child.kill()
        # Calls under way give their slots back as soon as they notice; the empty slots wake those that wait.
        for slot in [self._slots.get() for _ in range(self.processes)]:
            self._bury(slot)
            self._slots.put(None)
        self._starter.shutdown()

    def _live(self, child: Child | None) -> Child:
        """The child, or a fresh one in its place."""
        if child is not None and child.is_alive:
            return child
        self._bury(child)
        with self._lock:
            if self._is_closed:
                raise Unavailable("The audio sandbox is closed.")
            child = self._starter.submit(Child, self._config).result()
            self._children.add(child)
        try:
            child.wait_until_ready()
        except (ChildEndedError, ChildTimedOutError, ValueError) as error:
            self._bury(child)
            raise ConfigurationError("A process of the audio sandbox did not start.") from error
        except BaseException:
            self._bury(child)
            raise
        return child

    def _bury(self, child: Child | None) -> None:
        if child is not None:
            with self._lock:
                self._children.discard(child)
            child.bury()

    def _ended(self, status: int) -> ServiceError:
        if self._is_closed:
            return Unavailable("The audio sandbox was closed.")
        if status == -signal.SIGXCPU:
            return self._timed_out()
        how = f"signal {-status}" if status < 0 else f"status {status}"
        return AudioRejected("decoder_crashed", f"The decoder ended with {how} on this file; it is damaged.")

    def _timed_out(self) -> AudioRejected:
        return AudioRejected(
            "decoder_timed_out",
            f"Reading took over {self._cpu_s} s of processor time or {self._wall_s:.0f} s in all.",
        )
