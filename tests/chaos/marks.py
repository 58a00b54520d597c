"""Marks at the end of an audio file that make the decoder of a watched worker crash, hang or take its time."""

from __future__ import annotations

import ctypes
import time

from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.features.files import extract_file, warm_up

__all__ = ["CRASH", "FATAL", "HANG", "PLAIN", "extract", "mark_of", "marked", "slow", "warm_up"]
"""A sandbox calls the `warm_up` of its target's module before it closes."""

CRASH = b"MARKboom"
HANG = b"MARKhang"
FATAL = b"MARKdead"
"""Ends the worker itself."""


PLAIN = b"MARK" + bytes(4)
"""Does nothing; the number before it makes the file one of its own."""


def slow(tenths_s: int) -> bytes:
    return b"MARK" + tenths_s.to_bytes(4, "little")


def marked(clip: bytes, mark: bytes, *, number: int = 0) -> bytes:
    """The last samples give way to the mark and a number before it, which keeps equal clips distinct."""
    return clip[:-12] + number.to_bytes(4, "little") + mark


def mark_of(content: bytes) -> bytes | None:
    tail = content[-8:]
    return tail if tail.startswith(b"MARK") else None


def extract(path: str, spec_name: str) -> FileFeatures:
    """What the sandbox runs."""
    with open(path, "rb") as file:  # noqa: PTH123  the sandbox has closed what pathlib might want
        mark = mark_of(file.read())
    if mark == CRASH:
        ctypes.string_at(0)
    elif mark == HANG:
        time.sleep(3600)
    elif mark is not None:
        time.sleep(int.from_bytes(mark[4:], "little") / 10)
    return extract_file(path, spec_name)
