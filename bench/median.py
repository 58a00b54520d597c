"""G2: the running median of harmonic-percussive separation against scipy.ndimage, equal bit for bit, in one run.

OMP_NUM_THREADS=1 .venv/bin/python bench/median.py [ROUNDS]
"""

from __future__ import annotations

import sys

import librosa
import numpy as np
import scipy.ndimage
import torch

import clips
import measure
from groovemark.ml.features.median import WINDOW, running_median, running_median_of_tensors

FLOOR, STRETCH = 50, 500


def main(rounds: int) -> bool:
    print(measure.machine())
    torch.set_num_threads(1)
    magnitude = np.ascontiguousarray(np.abs(librosa.stft(clips.waveforms(22_050)[0])).T)  # (frame, frequency)
    samples = torch.from_numpy(magnitude)[None]
    print(f"{magnitude.shape[0]} frames of {magnitude.shape[1]} bins, window {WINDOW}; {rounds} rounds, medians\n")
    rows, kept = [], []
    for dim, axis, size in ((1, "along time", (WINDOW, 1)), (2, "along frequency", (1, WINDOW))):
        contenders = {
            "compiled": lambda dim=dim: running_median(samples, WINDOW, dim=dim),
            "tensors": lambda dim=dim: running_median_of_tensors(samples, WINDOW, dim=dim),
            "scipy": lambda size=size: scipy.ndimage.median_filter(magnitude, size=size, mode="reflect"),
        }
        expected = contenders["scipy"]()
        for name in ("compiled", "tensors"):
            assert np.array_equal(contenders[name]()[0].numpy(), expected), name
        timings = measure.take_turns(contenders, rounds=rounds)
        times = {name: 1000 * timing.median_cpu_s for name, timing in timings.items()}
        for name in ("compiled", "tensors"):
            ratio = times["scipy"] / times[name]
            rows.append([f"{name}, {axis}", f"{times[name]:.1f}", f"{times['scipy']:.1f}", f"{ratio:.0f}"])
        ratio = times["scipy"] / times["compiled"]
        kept.append(measure.verdict(f"G2 {axis} (stretch {STRETCH})", ratio, floor=FLOOR))
    print()
    measure.print_table(["cpu ms", "groovemark", "scipy", "ratio"], rows)
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 5) else 1)
