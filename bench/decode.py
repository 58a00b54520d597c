"""G1: decoding and resampling to 22,050 Hz mono against librosa.load, bit-identical, in one run.

Beside it what bounds it: the time of the decoder alone and of soxr alone, which no caller can shorten.

OMP_NUM_THREADS=1 .venv/bin/python bench/decode.py [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean, median

import librosa
import numpy as np
import soxr

import clips
import measure
from groovemark.ml.audio.decode import decode
from groovemark.ml.audio.sources import open_audio

SAMPLE_RATE = 22_050
FLOOR = {"wav": 3.5, "mp3": 1.7, "flac": 1.7, "ogg": 1.4}
STRETCH = {"wav": 7.0, "flac": 2.1, "ogg": 2.0}


def read_only(path: Path) -> None:
    """The decoder's work: every sample read, none mixed, resampled or kept."""
    with open_audio(path) as audio:
        for _ in audio.blocks():
            pass


@dataclass(frozen=True)
class Row:
    """Of one format: processor milliseconds a clip, and how many times librosa.load's time is of ours."""

    groovemark_ms: float
    librosa_ms: float
    decoder_ms: float
    soxr_ms: float
    ratio: float

    @property
    def limit(self) -> float:
        """The ratio if nothing but the decoder and soxr took time."""
        return self.librosa_ms / (self.decoder_ms + self.soxr_ms)


def measure_format(paths: Sequence[Path], rounds: int) -> Row:
    mono = np.random.default_rng(1).uniform(-0.5, 0.5, clips.SECONDS * clips.SAMPLE_RATE).astype(np.float32)
    per_clip: dict[str, list[float]] = {name: [] for name in ("groovemark", "librosa", "decoder", "soxr")}
    ratios: list[float] = []
    for path in paths:
        contenders: dict[str, Callable[[], object]] = {
            "groovemark": lambda path=path: decode(path, SAMPLE_RATE),
            "librosa": lambda path=path: librosa.load(path, sr=SAMPLE_RATE),
            "decoder": lambda path=path: read_only(path),
            "soxr": lambda: soxr.resample(mono, clips.SAMPLE_RATE, SAMPLE_RATE, quality="HQ"),
        }
        timings = measure.take_turns(contenders, rounds=rounds)
        for name, timing in timings.items():
            per_clip[name].append(1000 * timing.median_cpu_s)
        # Neighbours in time meet the same machine, which matters where others work on it.
        pairs = zip(timings["librosa"].cpu_s, timings["groovemark"].cpu_s, strict=True)
        ratios += [theirs / ours for theirs, ours in pairs]
    return Row(*(fmean(ms) for ms in per_clip.values()), ratio=median(ratios))


def main(rounds: int) -> bool:
    print(measure.machine())
    warnings.simplefilter("ignore")
    real = clips.fma_in_stereo()
    kept, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = clips.write(Path(folder), real or None)
        for suffix, paths in files.items():
            for path in paths:
                expected, _ = librosa.load(path, sr=SAMPLE_RATE)
                assert np.array_equal(decode(path, SAMPLE_RATE), expected), path.name
            row = measure_format(paths, rounds)
            kbits = sum(path.stat().st_size for path in paths) / len(paths) / clips.SECONDS * 8 / 1000
            numbers = (row.groovemark_ms, row.librosa_ms, row.decoder_ms, row.soxr_ms)
            ratios = (f"{row.ratio:.2f}", f"{row.limit:.2f}", f"{FLOOR[suffix]:g}", f"{STRETCH.get(suffix, '')}")
            rows.append([suffix, f"{kbits:.0f}", *(f"{number:.1f}" for number in numbers), *ratios])
            kept.append(measure.verdict(f"G1 {suffix}, bit-identical", row.ratio, floor=FLOOR[suffix]))
    source = f"{len(real)} of FMA's in GROOVEMARK_DATA" if real else "those that come with groovemark, made stereo"
    print(f"\nclips of {clips.SECONDS} s, 44.1 kHz stereo, {source}")
    print(f"cpu ms a clip; {rounds} rounds in turn, medians; limit: if only the decoder and soxr took time\n")
    head = ["", "kbit/s", "groovemark", "librosa.load", "decoder alone", "soxr alone", "ratio", "limit", "floor"]
    measure.print_table([*head, "stretch"], rows)
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 7) else 1)
