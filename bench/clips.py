"""Thirty-second clips for the benchmarks, in every format: real stereo, or the recordings that groovemark has."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import soundfile
import soxr

from groovemark.ml.audio.decode import decode

SAMPLE_RATE = 44_100
SECONDS = 30
CLIPS = Path(__file__).parents[1] / "src" / "groovemark" / "cli" / "demo" / "clips"
FMA = Path(os.environ.get("GROOVEMARK_DATA", "../shared/data")) / "fma" / "audio"
MP3_128_KBITS = 0.65
"""libsndfile's compression level that gives about 128 kbit/s."""


def waveforms(sample_rate: int) -> list[np.ndarray]:
    """(time,) of each recording, repeated until it lasts half a minute."""
    recordings = [decode(path, sample_rate) for path in sorted(CLIPS.glob("*.ogg"))]
    return [np.resize(recording, SECONDS * sample_rate) for recording in recordings]


def bundled_in_stereo() -> list[np.ndarray]:
    """(frame, 2) of the recordings that come with groovemark, the right channel a little later and softer."""
    left = [soxr.resample(waveform, 22_050, SAMPLE_RATE) for waveform in waveforms(22_050)]
    return [np.clip(np.stack([one, 0.9 * np.roll(one, 20)], axis=1), -1, 1) for one in left]


def fma_in_stereo() -> list[np.ndarray]:
    """(frame, 2) of the FMA dataset's clips in GROOVEMARK_DATA; none where it is missing."""
    return [
        soundfile.read(path, frames=SECONDS * SAMPLE_RATE, dtype="float32", always_2d=True)[0]
        for path in sorted(FMA.glob("*.mp3"))
    ]


def write(folder: Path, recordings: Iterable[np.ndarray] | None = None) -> dict[str, list[Path]]:
    """Files by format, 44.1 kHz in stereo: of `recordings`, (frame, 2) each, or of those that come with groovemark."""
    files: dict[str, list[Path]] = {suffix: [] for suffix in ("wav", "flac", "mp3", "ogg")}
    for number, stereo in enumerate(bundled_in_stereo() if recordings is None else recordings):
        for suffix, paths in files.items():
            path = folder / f"{number}.{suffix}"
            options = {"bitrate_mode": "CONSTANT", "compression_level": MP3_128_KBITS} if suffix == "mp3" else {}
            with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, **options) as file:
                for start in range(0, len(stereo), 4096):  # Vorbis in one piece overflows libsndfile's stack
                    file.write(stereo[start : start + 4096])
            paths.append(path)
    return files
