"""G5: 1,000 clips of 30 s on a graphics card, at most 0.2 s and at most a quarter of the time their decoding takes.

.venv/bin/python bench/gpu_features.py [ROUNDS]

Where torch finds no CUDA device it says so and promises nothing.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median

import numpy as np
import torch

import clips
import measure
from groovemark.ml.audio.decode import decode
from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import FEATURE_SETS, FMA_42, GTZAN_57
from groovemark.ml.features.spec import FeatureSpec

RATE = 22_050
N_CLIPS = 1_000
AT_MOST_MS, AT_MOST_PERCENT_OF_DECODING = 200, 25
FORMATS = ("mp3", "wav")


def thousand_clips(device: str) -> torch.Tensor:
    """(clip, time): the recordings in turn, each time begun elsewhere, so that no two clips are equal."""
    recordings = torch.from_numpy(np.stack(clips.waveforms(RATE))).to(device)
    return torch.stack(
        [recordings[number % len(recordings)].roll(997 * number) for number in range(N_CLIPS)]
    ).contiguous()


def device_s(work: Callable[[], object], rounds: int) -> float:
    """Median over the rounds of what passes between two events on the device; one round before warms it up."""
    found = []
    for _ in range(rounds + 1):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        work()
        end.record()
        torch.cuda.synchronize()
        found.append(start.elapsed_time(end) / 1000)
    return median(found[1:])


def decoding_s(rounds: int) -> dict[str, float]:
    """Processor time of 1,000 clips on one core, by format; 44.1 kHz stereo."""
    with tempfile.TemporaryDirectory() as folder:
        files = clips.write(Path(folder))
        contenders = {
            suffix: (lambda paths=files[suffix]: [decode(path, RATE) for path in paths]) for suffix in FORMATS
        }
        for run in contenders.values():
            run()
        timings = measure.take_turns(contenders, rounds=rounds)
        return {name: N_CLIPS * timing.median_cpu_s / len(files[name]) for name, timing in timings.items()}


def check(spec: FeatureSpec, waveforms: torch.Tensor) -> None:
    """A few of the clips have the processor's numbers."""
    few = waveforms[:: N_CLIPS // 8]
    ours, theirs = Extractor(spec).extract(few), Extractor(spec).extract(few.cpu())
    # The highest band of the recordings is all but empty: its valleys are the rounding of each device's transform.
    compared = [number for number, name in enumerate(spec.numeric_names) if "contrast_7" not in name]
    torch.testing.assert_close(ours.cpu()[:, compared], theirs[:, compared], rtol=1e-3, atol=1e-5)


def main(rounds: int) -> bool:
    print(measure.machine())
    if not torch.cuda.is_available():
        print("G5 not run: no CUDA device")
        return True
    card = torch.cuda.get_device_properties(0)
    print(f"{card.name}, {card.total_memory / 2**30:.0f} GiB; torch {torch.__version__}")
    print(f"{N_CLIPS} clips of {clips.SECONDS} s in its memory, {rounds} rounds, medians of CUDA events\n")
    decoding = decoding_s(rounds)
    waveforms = thousand_clips("cuda")
    rows, kept = [], []
    for spec in (GTZAN_57, FMA_42, FEATURE_SETS["composer-118"]):
        check(spec, waveforms)
        torch.cuda.reset_peak_memory_stats()
        held_bytes = torch.cuda.memory_allocated()
        extractor = Extractor(spec)
        taken_s = device_s(lambda extractor=extractor: extractor.extract(waveforms), rounds)
        peak_bytes = torch.cuda.max_memory_allocated() - held_bytes
        rows.append([spec.name, f"{taken_s:.3f}", f"{peak_bytes / measure.MIB:.0f}"])
        if spec is GTZAN_57:
            taken_ms = 1000 * taken_s
            kept.append(measure.verdict(f"G5 {spec.name}", taken_ms, floor=AT_MOST_MS, unit="ms", at_most=True))
            for suffix, decoded_s in decoding.items():
                percent, promise = 100 * taken_s / decoded_s, f"G5 {spec.name}, of decoding {suffix}"
                bound = AT_MOST_PERCENT_OF_DECODING
                kept.append(measure.verdict(promise, percent, floor=bound, unit="%", at_most=True))
    print()
    measure.print_table(["features of 1,000 clips", "s", "MiB beside the clips"], rows)
    in_memory = waveforms.cpu()
    start = time.perf_counter()
    Extractor(GTZAN_57).extract(in_memory.cuda()).cpu()
    print(f"\n{GTZAN_57.name}, the way there and back included: {time.perf_counter() - start:.2f} s by the clock")
    measure.print_table(["decoding 1,000 clips, one core", "cpu s"], [[k, f"{v:.1f}"] for k, v in decoding.items()])
    return all(kept)


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 5) else 1)
