"""Thirty-second clips for the benchmarks, written in every format from the recordings that come with groovemark."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import soundfile
import soxr

from groovemark.ml.audio.decode import decode

SAMPLE_RATE = 44_100
SECONDS = 30
CLIPS = Path(__file__).parents[1] / "src" / "groovemark" / "cli" / "demo" / "clips"
MP3_128_KBITS = 0.65
"""libsndfile's compression level that gives about 128 kbit/s."""


def waveforms(sample_rate: int) -> list[np.ndarray]:
    """(time,) of each recording, repeated until it lasts half a minute."""
    recordings = [decode(path, sample_rate) for path in sorted(CLIPS.glob("*.ogg"))]
    return [np.resize(recording, SECONDS * sample_rate) for recording in recordings]


def write(folder: Path) -> dict[str, list[Path]]:
    """Files by format: 44.1 kHz in stereo, the right channel a little later and softer."""
    files: dict[str, list[Path]] = {suffix: [] for suffix in ("wav", "flac", "mp3", "ogg")}
    for number, waveform in enumerate(waveforms(22_050)):
        left = soxr.resample(waveform, 22_050, SAMPLE_RATE)
        stereo = np.clip(np.stack([left, 0.9 * np.roll(left, 20)], axis=1), -1, 1)
        for suffix, paths in files.items():
            path = folder / f"{number}.{suffix}"
            options = {"bitrate_mode": "CONSTANT", "compression_level": MP3_128_KBITS} if suffix == "mp3" else {}
            with soundfile.SoundFile(path, "w", SAMPLE_RATE, 2, **options) as file:
                for start in range(0, len(stereo), 4096):  # Vorbis in one piece overflows libsndfile's stack
                    file.write(stereo[start : start + 4096])
            paths.append(path)
    return files
