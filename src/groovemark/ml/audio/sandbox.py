"""Untrusted audio is read in expendable processes: what crashes, hangs or swells one harms no other file."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Generator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from os import PathLike
from pathlib import Path
from threading import Lock
from typing import Self

import numpy as np

from groovemark.errors import AudioRejected, ConfigurationError, ServiceError, Unavailable
from groovemark.ml.audio.messages import FileEnd, FileFeatures, Rejection, Reply, Samples
from groovemark.ml.audio.process import Child, ChildEndedError, ChildTimedOutError
from groovemark.ml.audio.slots import FairSlots


class Sandbox:
    """A few child processes that run `target` on one file at a time.

    Safe to share between threads; as many calls run at once as there are processes. Children start on first use
    or by `warm`; one that failed is replaced when it is next needed.

    Args:
        target: `module:function` of signature (path, spec name) -> FileFeatures, or an iterator of waveforms and then
            a FileEnd; imported in the child only.
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
        self._slots: FairSlots[Child | None] = FairSlots([None] * processes)
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
        """Starts the children that are missing, one after the other, each of use as soon as it is ready.

        Raises ConfigurationError.
        """
        slots = self._slots.take_idle()  # those that are not there have started: they are at work
        try:
            while slots:
                if slots[-1] is None or not slots[-1].is_alive:
                    missing, slots[-1] = slots[-1], None
                    slots[-1] = self._live(missing)
                self._slots.put(slots.pop())
        finally:
            for slot in slots:
                self._slots.put(slot)

    def call(
        self,
        path: str | PathLike[str],
        spec_name: str,
        *,
        lane: str = "",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> FileFeatures:
        """The target's answer for one file; waits for a free child.

        Args:
            lane: files of one lane come in turn, and lanes share the children fairly.
            should_stop: asked while waiting for a child.

        Raises AudioRejected with the target's own reason, `decoder_crashed` or `decoder_timed_out`; Abandoned when it
        should stop before the file is begun.
        """
        with self._borrowed(lane, should_stop) as child:
            reply = child.ask(str(Path(path).absolute()), spec_name, self._wall_s)
            if isinstance(reply, FileFeatures):
                return reply
            raise self._refusal(reply, child)

    def windows(
        self,
        path: str | PathLike[str],
        spec_name: str,
        *,
        lane: str = "",
        should_stop: Callable[[], bool] = lambda: False,
    ) -> Generator[Samples, None, FileEnd]:
        """What a target that only decodes yields, window by window; it waits while nobody takes them.

        Arguments and errors as of `call`.
        """
        with self._borrowed(lane, should_stop) as child:
            reply = child.ask(str(Path(path).absolute()), spec_name, self._wall_s)
            n_windows = 0
            while isinstance(reply, np.ndarray):
                n_windows += 1
                given = time.monotonic()
                try:
                    yield reply
                except GeneratorExit:
                    child.kill()  # the rest of its answer would be taken for the next file's
                    raise
                reply = child.next_reply(more_s=time.monotonic() - given)
            if isinstance(reply, FileEnd) and n_windows > 0:
                return reply
            raise self._refusal(reply, child)

    @contextmanager
    def _borrowed(self, lane: str, should_stop: Callable[[], bool]) -> Iterator[Child]:
        """A free child, for one file."""
        slot = self._slots.take(lane, should_stop)
        taken = time.monotonic()
        try:
            slot = child = self._live(slot)
            yield child
        except ChildTimedOutError as error:
            child.bury()
            raise self._timed_out() from error
        except ChildEndedError as error:
            raise self._ended(child.bury(grace_s=1.0)) from error
        finally:
            # Whoever takes the slot next replaces a child that has ended.
            self._slots.give(slot, lane, time.monotonic() - taken)

    def _refusal(self, reply: Reply, child: Child) -> Exception:
        if not isinstance(reply, Rejection):
            return ChildEndedError("an answer to another question")
        if reply.reason == "decoder_crashed":
            child.bury()
        return AudioRejected(reply.reason, reply.message)

    def close(self) -> None:
        """Ends the children; calls under way fail. A closed sandbox stays closed."""
        with self._lock:
            self._is_closed = True
            for child in self._children:
                child.kill()
        for slot in self._slots.close():  # calls under way give them back as soon as they notice
            self._bury(slot)
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
            if self._is_closed:
                raise Unavailable("The audio sandbox was closed.") from error
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
