"""G11: an Audio Spectrogram Transformer of AST's size on the processor, in bfloat16 and in whole numbers of eight bits
against torch in float32, in one run.

    OMP_NUM_THREADS=1 python bench/spectrogram_transformer.py [ROUNDS]

Float32 is Hugging Face's class in torch, given the same weights. They are drawn at random: they cost as much as trained
ones. Our own network is measured beside it; its last block computes no more than the two tokens that are read.

Without instructions for bfloat16 a processor widens every number, and bf16 is slower than fp32. With them products in
bf16 take half of fp32's time; with AVX-512 VNNI those in int8 take a quarter, and are two thirds of int8's time here.
The rest is attention: queries with keys in int8, shares with values in bfloat16, as most shares are smaller than 1/255.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import torch
from numpy.typing import NDArray
from safetensors.torch import save_file
from transformers import ASTForAudioClassification

import measure
from groovemark.ml.models.precision import PRECISIONS
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import make_scorer
from groovemark.ml.models.transformer.shape import AstShape

LABELS = 527
FLOORS = {"bf16": 2.0, "int8": 3.5}
INSTRUCTIONS = {"bf16": ("avx512_bf16", "amx_bf16"), "int8": ("avx512_vnni", "avx_vnni", "amx_int8")}
"""Of which the processor should have one."""
BASELINE = "Hugging Face's, fp32"

Score = Callable[[NDArray[np.float32]], NDArray[np.floating]]


def network() -> Network:
    """86 million parameters, windows of 10.24 s."""
    torch.manual_seed(0)
    made = Network(AstShape(), LABELS)
    made.draw_weights()
    return made


def hugging_face() -> Score:
    """The same in Hugging Face's class."""
    with TemporaryDirectory() as folder:
        Path(folder, "config.json").write_text(json.dumps({**AstShape().as_config(), "num_labels": LABELS}))
        save_file(network().state_dict(), Path(folder, "model.safetensors"), {"format": "pt"})
        original = ASTForAudioClassification.from_pretrained(folder).eval()

    def score(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode():
            return original(torch.from_numpy(windows)).logits.numpy()

    return score


def main(rounds: int) -> bool:
    print(measure.machine())
    flags = set(Path("/proc/cpuinfo").read_text().split())
    for precision, names in INSTRUCTIONS.items():
        print(f"instructions for {precision}: {', '.join(flags & set(names)) or 'none of ' + ', '.join(names)}")
    torch.set_num_threads(1)
    windows = np.random.default_rng(0).normal(0, 0.5, size=(1, 1024, 128)).astype(np.float32)
    scorers: dict[str, Score] = {BASELINE: hugging_face()}
    scorers |= {precision: make_scorer(network(), precision, torch.device("cpu")) for precision in PRECISIONS}
    answers = {name: score(windows) for name, score in scorers.items()}
    timings = measure.take_turns(
        {name: lambda score=score: score(windows) for name, score in scorers.items()}, rounds=rounds
    )
    seconds = {name: timing.median_cpu_s for name, timing in timings.items()}
    kept = [
        measure.verdict(f"G11 {precision}", seconds[BASELINE] / seconds[precision], floor=floor)
        for precision, floor in FLOORS.items()
    ]
    print(f"\ncpu s a window of 10.24 s, one thread, {rounds} rounds in turn, medians\n")
    measure.print_table(
        ["network", "s", "times Hugging Face's", "times our fp32", "largest difference of a score", "its deviation"],
        [
            [
                name,
                f"{second:.2f}",
                f"{seconds[BASELINE] / second:.2f}",
                f"{seconds['fp32'] / second:.2f}",
                f"{np.abs(answers[name] - answers[BASELINE]).max():.4f}",
                f"{answers[BASELINE].std():.4f}",
            ]
            for name, second in seconds.items()
        ],
    )
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 5) else 1)
