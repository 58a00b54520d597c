"""G1: decoding and resampling to 22,050 Hz mono against librosa.load, bit-identical, in one run.

OMP_NUM_THREADS=1 .venv/bin/python bench/decode.py [ROUNDS]
"""

from __future__ import annotations

import sys
import tempfile
import warnings
from pathlib import Path

import librosa
import numpy as np

import clips
import measure
from groovemark.ml.audio.decode import decode

SAMPLE_RATE = 22_050
FLOOR = {"wav": 3.5, "mp3": 1.7, "flac": 1.7, "ogg": 1.4}
STRETCH = {"wav": 7.0, "flac": 2.1, "ogg": 2.0}


def main(rounds: int) -> bool:
    print(measure.machine())
    warnings.simplefilter("ignore")
    kept, rows = [], []
    with tempfile.TemporaryDirectory() as folder:
        files = clips.write(Path(folder))
        for suffix, paths in files.items():
            for path in paths:
                expected, _ = librosa.load(path, sr=SAMPLE_RATE)
                assert np.array_equal(decode(path, SAMPLE_RATE), expected), path.name
            contenders = {
                "groovemark": lambda paths=paths: [decode(path, SAMPLE_RATE) for path in paths],
                "librosa": lambda paths=paths: [librosa.load(path, sr=SAMPLE_RATE) for path in paths],
            }
            timings = measure.take_turns(contenders, rounds=rounds)
            ours, theirs = (1000 * timings[name].median_cpu_s / len(paths) for name in contenders)
            kbits = sum(path.stat().st_size for path in paths) / len(paths) / clips.SECONDS * 8 / 1000
            stretch = f"{STRETCH[suffix]:g}" if suffix in STRETCH else ""
            rows.append(
                [
                    suffix,
                    f"{kbits:.0f}",
                    f"{ours:.1f}",
                    f"{theirs:.1f}",
                    f"{theirs / ours:.2f}",
                    f"{FLOOR[suffix]:g}",
                    stretch,
                ]
            )
            kept.append(measure.verdict(f"G1 {suffix}, bit-identical", theirs / ours, floor=FLOOR[suffix]))
    print(f"\ncpu ms a clip of {clips.SECONDS} s, 44.1 kHz stereo; {rounds} rounds in turn, medians\n")
    measure.print_table(["", "kbit/s", "groovemark", "librosa.load", "ratio", "floor", "stretch"], rows)
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 7) else 1)
