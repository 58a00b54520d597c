"""G11: the AST's filterbank against Hugging Face's ASTFeatureExtractor, which works in numpy, in one run.

    OMP_NUM_THREADS=1 python bench/fbank.py [ROUNDS]

transformers is no dependency of groovemark: install it beside, for example into a virtual environment of its own.
"""

from __future__ import annotations

import sys

import numpy as np
import torch

import clips
import measure
from groovemark.ml.features.fbank import kaldi_fbank, normalised

RATE = 16_000
N_FRAMES = 1024
WINDOW_SAMPLES = 163_840
"""10.24 s: the 1,022 whole frames of a window, and two that are filled."""
TOLERANCE = 2e-4
FLOOR = 3.5


def windows() -> np.ndarray:
    """(window, time): two of each recording, one after the other."""
    recordings = np.stack(clips.waveforms(RATE))
    return np.ascontiguousarray(recordings[:, : 2 * WINDOW_SAMPLES].reshape(-1, WINDOW_SAMPLES))


def main(rounds: int) -> bool:
    try:
        import transformers
        from transformers.models.audio_spectrogram_transformer import feature_extraction_audio_spectrogram_transformer
    except ImportError:
        sys.exit("This benchmark compares with Hugging Face's extractor: pip install transformers")
    if feature_extraction_audio_spectrogram_transformer.is_speech_available():
        sys.exit("With torchaudio installed Hugging Face's extractor does not work in numpy: pip uninstall torchaudio")
    print(measure.machine(), f"transformers {transformers.__version__}", sep=", ")
    torch.set_num_threads(1)
    batch = windows()
    tensors, waveforms = torch.from_numpy(batch), list(batch)
    extractor = transformers.ASTFeatureExtractor(max_length=N_FRAMES)
    contenders = {
        "groovemark": lambda: normalised(kaldi_fbank(tensors, RATE), N_FRAMES).numpy(),
        "Hugging Face": lambda: extractor(waveforms, sampling_rate=RATE, return_tensors="np")["input_values"],
    }
    found, expected = (run() for run in contenders.values())
    difference = float(np.abs(found - expected).max())
    timings = measure.take_turns(contenders, rounds=rounds)
    ours, theirs = (1000 * timing.median_cpu_s / len(batch) for timing in timings.values())
    measure.verdict("G11 fbank, largest difference", difference / TOLERANCE, floor=1, unit="tolerances", at_most=True)
    is_fast = measure.verdict("G11 fbank", theirs / ours, floor=FLOOR)
    print(f"\ncpu ms a window of 10.24 s, {len(batch)} windows, {rounds} rounds in turn, medians\n")
    measure.print_table(
        ["groovemark", "Hugging Face", "ratio", "floor", "largest difference", "tolerance"],
        [[f"{ours:.2f}", f"{theirs:.2f}", f"{theirs / ours:.2f}", f"{FLOOR:g}", f"{difference:.1e}", f"{TOLERANCE:g}"]],
    )
    return is_fast and difference <= TOLERANCE


if __name__ == "__main__":
    sys.exit(0 if main(int(sys.argv[1]) if len(sys.argv) > 1 else 15) else 1)
