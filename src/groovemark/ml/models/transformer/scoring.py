"""How a network's raw scores are computed."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from numpy.typing import NDArray

from groovemark.ml.features.arithmetic import has_bfloat16, whole_float32
from groovemark.ml.models.precision import Precision, prepare
from groovemark.ml.models.transformer.compiled import can_compile, compile_network
from groovemark.ml.models.transformer.network import Network

Scorer = Callable[[NDArray[np.float32]], NDArray[np.float64]]
"""(n, frame, band) → (n, label) raw scores."""

LARGEST = 1e4
"""Numbers are cut here, far from any real feature, so that scores stay finite."""
_TOKENS_AT_ONCE = 8192
"""Of windows computed together: more take more memory, and on the processor no less time."""


def make_scorer(network: Network, precision: Precision, device: torch.device, *, threads: int = 1) -> Scorer:
    """The network at work. `int8` is for the processor, where it takes OpenVINO, which is faster in bf16 as well.

    Raises ModelUnavailable where OpenVINO is not installed for what takes it.
    """
    on_processor = device.type == "cpu" and has_bfloat16(device) and can_compile()
    if precision == "int8" or (precision == "bf16" and on_processor):
        return _in_blocks(network, compile_network(network, precision, threads=threads))
    prepare(network, precision, device)

    def scores(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        with torch.inference_mode(), whole_float32(device, threads):
            inputs = torch.from_numpy(windows).to(device, next(network.parameters()).dtype)
            return network(inputs).float().cpu().numpy()  # type: ignore[no-any-return]

    return _in_blocks(network, scores)


def _in_blocks(network: Network, scores: Callable[[NDArray[np.float32]], NDArray[np.float32]]) -> Scorer:
    across, along = network.shape.patches
    at_once, labels = max(1, _TOKENS_AT_ONCE // (across * along + 2)), network.labels

    def score(windows: NDArray[np.float32]) -> NDArray[np.float64]:
        answers = np.zeros((len(windows), labels))
        for start in range(0, len(windows), at_once):
            block = slice(start, start + at_once)
            answers[block] = scores(windows[block].clip(-LARGEST, LARGEST))
        return answers

    return score
