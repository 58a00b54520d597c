"""A small collection of invented piano music in the shape of the real one, for training without it."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from groovemark.ml.datasets.rendering import PROGRAM, SOUNDFONT

TICKS = 96
LOWEST_KEYS = {"High": 76, "Low": 40}
"""The composers."""

needs_fluidsynth = pytest.mark.skipif(
    shutil.which(PROGRAM) is None or not SOUNDFONT.exists(),
    reason="needs fluidsynth and timgm6mb-soundfont",
)


def make_midi(keys: list[int], strengths: list[int]) -> bytes:
    """Quarter notes one after the other; a tempo and a system message before them, running status within."""
    events = b"\x00\xff\x51\x03\x07\xa1\x20" + b"\x00\xf0\x03\x01\x02\xf7" + b"\x00\xc0\x00" + b"\x00\x90"
    for number, (key, strength) in enumerate(zip(keys, strengths, strict=True)):
        events += (b"\x00" if number else b"") + bytes([key, strength]) + bytes([TICKS, key, 0])
    events += b"\x00\xb0\x40\x7f" + b"\x00\xff\x2f\x00"
    return (
        b"MThd\x00\x00\x00\x06\x00\x00\x00\x01"
        + TICKS.to_bytes(2, "big")
        + b"MTrk"
        + len(events).to_bytes(4, "big")
        + events
    )


def write_collection(root: Path, *, works: int) -> Path:
    """A data folder of two composers with so many works of one piece each; returns `root`.

    The files' names have another case than the table says.
    """
    folder = root / "midi" / "midis"
    lines = ["composer,title,year,midi,duration"]
    for name, low in LOWEST_KEYS.items():
        (folder / name).mkdir(parents=True)
        for number in range(1, works + 1):
            path = folder / name / f"p_{number}.mid"
            path.write_bytes(make_midi([low + number, low + 4, low + 7, low + 12], [90, 70, 80, 100]))
            lines.append(f"{name},Sonata_No.{number}_1,1800,midis/{name}/P_{number}.mid,2")
    (folder.parent / "metadata.csv").write_text("\n".join(lines) + "\n")
    return root
