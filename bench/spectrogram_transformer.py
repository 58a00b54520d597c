"""G11: an Audio Spectrogram Transformer of AST's size on the processor, in bfloat16 and in whole numbers of eight bits
against torch in float32, in one run.

    OMP_NUM_THREADS=1 python bench/spectrogram_transformer.py [ROUNDS]

Weights are drawn at random: they cost as much as trained ones.

Without instructions for bfloat16 a processor widens every number, and bf16 is slower than fp32. Of int8's time on a
core with AVX-512 VNNI, by onnxruntime's profile, half goes into products of weights and two fifths into attention, that
has no weights and stays in float32: were those products free, it would be 3.3 times as fast as fp32.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import torch

import measure
from groovemark.ml.models.precision import PRECISIONS
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import make_scorer
from groovemark.ml.models.transformer.shape import AstShape

LABELS = 527
FLOORS = {"bf16": 2.0, "int8": 3.5}
INSTRUCTIONS = {"bf16": ("avx512_bf16", "amx_bf16"), "int8": ("avx512_vnni", "avx_vnni", "amx_int8")}
"""Of which the processor should have one."""


def network() -> Network:
    """86 million parameters, windows of 10.24 s."""
    torch.manual_seed(0)
    made = Network(AstShape(), LABELS)
    made.draw_weights()
    return made


def main(rounds: int) -> bool:
    print(measure.machine())
    flags = set(Path("/proc/cpuinfo").read_text().split())
    for precision, names in INSTRUCTIONS.items():
        print(f"instructions for {precision}: {', '.join(flags & set(names)) or 'none of ' + ', '.join(names)}")
    windows = np.random.default_rng(0).normal(0, 0.5, size=(1, 1024, 128)).astype(np.float32)
    scorers = {precision: make_scorer(network(), precision, torch.device("cpu")) for precision in PRECISIONS}
    answers = {precision: score(windows) for precision, score in scorers.items()}
    timings = measure.take_turns(
        {precision: lambda score=score: score(windows) for precision, score in scorers.items()}, rounds=rounds
    )
    whole = timings["fp32"].median_cpu_s
    kept = [
        measure.verdict(f"G11 {precision}", whole / timings[precision].median_cpu_s, floor=floor)
        for precision, floor in FLOORS.items()
    ]
    print(f"\ncpu s a window of 10.24 s, one thread, {rounds} rounds in turn, medians\n")
    measure.print_table(
        ["precision", "s", "times fp32", "largest difference of a score", "its deviation over labels"],
        [
            [
                precision,
                f"{timing.median_cpu_s:.2f}",
                f"{whole / timing.median_cpu_s:.2f}",
                f"{np.abs(answers[precision] - answers['fp32']).max():.4f}",
                f"{answers['fp32'].std():.4f}",
            ]
            for precision, timing in timings.items()
        ],
    )
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 5) else 1)
