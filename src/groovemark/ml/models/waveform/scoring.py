"""How windows of samples become raw scores."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from groovemark.ml.features.arithmetic import whole_float32
from groovemark.ml.models.precision import Precision, prepare
from groovemark.ml.models.waveform.network import fold

PRECISIONS: tuple[Precision, ...] = ("fp32", "bf16")
Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""(n, time) → (n, label) raw scores."""

LARGEST = 1e4
"""Samples are cut here, far from any real one, so that scores stay finite."""
_ON_DEVICE_AT_ONCE = 8
"""Windows; on the processor one at a time is as fast, and then none has a part in another's last digits."""
_SMALLEST_VARIANCE = 1e-7
"""Added to it, as Wav2Vec2FeatureExtractor does: silence stays silence."""


def normalised(windows: NDArray[np.float32]) -> NDArray[np.float32]:
    """(n, time), each with a mean of 0 and a variance of 1. Same as Wav2Vec2FeatureExtractor with do_normalize."""
    wide = windows.astype(np.float64)
    wide -= wide.mean(axis=1, keepdims=True)
    wide /= np.sqrt(np.square(wide).mean(axis=1, keepdims=True) + _SMALLEST_VARIANCE)
    return wide.astype(np.float32)


def make_scorer(
    network: nn.Module, precision: Precision, device: torch.device, *, is_normalised: bool, threads: int = 1
) -> Scorer:
    """The network at work.

    Args:
        precision: one of PRECISIONS.
        is_normalised: whether it takes windows with a mean of 0 and a variance of 1.
    """
    fold(network)
    prepare(network, precision, device)
    at_once = 1 if device.type == "cpu" else _ON_DEVICE_AT_ONCE

    def scores(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        taken = (normalised(windows) if is_normalised else windows).clip(-LARGEST, LARGEST)
        with torch.inference_mode(), whole_float32(device, threads):
            inputs = torch.from_numpy(taken).to(device, next(network.parameters()).dtype)
            return network(inputs).logits.float().cpu().numpy()  # type: ignore[no-any-return]

    def score(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        blocks = (windows[start : start + at_once] for start in range(0, len(windows), at_once))
        return np.concatenate([scores(block).astype(np.float64) for block in blocks])

    return score
