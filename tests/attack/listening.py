"""A port that nobody should knock at, and a file that nobody should read."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.scenario import NotRun
from tests.inputs import audio_file


@dataclass
class Listener:
    """Takes every connection, and whatever comes by UDP, and counts both."""

    port: int = 0
    heard: list[str] = field(default_factory=list)


@contextlib.contextmanager
def listening(host: str = "127.0.0.1", port: int = 0) -> Iterator[Listener]:
    found = Listener()
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family) as stream, socket.socket(family, socket.SOCK_DGRAM) as datagrams:
        stream.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        stream.bind((host, port))
        stream.listen()
        found.port = stream.getsockname()[1]
        datagrams.bind((host, found.port))
        threads = [
            threading.Thread(target=hear, args=(found,), daemon=True) for hear in (_accept(stream), _take(datagrams))
        ]
        for thread in threads:
            thread.start()
        try:
            yield found
        finally:
            for one in (stream, datagrams):
                with contextlib.suppress(OSError):
                    one.shutdown(socket.SHUT_RDWR)
    for thread in threads:
        thread.join(5)


def _accept(stream: socket.socket) -> Callable[[Listener], None]:
    def hear(found: Listener) -> None:
        with contextlib.suppress(OSError):
            while True:
                connection, address = stream.accept()
                found.heard.append(f"connection from {address}")
                connection.close()

    return hear


def _take(datagrams: socket.socket) -> Callable[[Listener], None]:
    def hear(found: Listener) -> None:
        with contextlib.suppress(OSError):
            while True:
                piece, address = datagrams.recvfrom(2048)
                if not piece and address is None:
                    return
                found.heard.append(f"{len(piece)} bytes from {address}")

    return hear


@dataclass(frozen=True)
class Canary:
    """A sound file; its time of access tells whether it was opened and read."""

    path: Path

    @classmethod
    def at(cls, path: Path) -> Canary:
        """Raises NotRun where the file system keeps no such times."""
        path.write_bytes(audio_file("wav", 2, seed=77))
        canary = cls(path)
        canary.forget()
        path.read_bytes()
        if not canary.was_read:
            raise NotRun(f"the file system of {path.parent} does not tell when a file was read")
        canary.forget()
        return canary

    def forget(self) -> None:
        """Read long ago, written just now: the next reading is noted even where the system saves on such notes."""
        os.utime(self.path, ns=(0, self.path.stat().st_mtime_ns))

    @property
    def was_read(self) -> bool:
        return self.path.stat().st_atime_ns != 0
