"""The running median on a graphics card: the network as one kernel, which keeps its wires in registers.

As operations on whole tensors every one of its 338 minima and maxima would travel through the card's memory.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import cache
from typing import Any, cast

import torch
from torch import Tensor

from groovemark.ml.features.network import OUTPUTS_AT_ONCE, build

_THREADS = 256
_logger = logging.getLogger(__name__)

_FRAME = """
__device__ int mirrored(int index, int length) {{
    const int folded = (index % (2 * length) + 2 * length) % (2 * length);
    return folded < length ? folded : 2 * length - 1 - folded;
}}

extern "C" __global__ void running_median(const float* samples, float* medians, int n_rows, int n_lanes) {{
    const int lane = blockIdx.x * blockDim.x + threadIdx.x;
    const int row = blockIdx.y * {outputs};
    if (lane >= n_lanes) return;
    const long long first = (long long)blockIdx.z * n_rows * n_lanes + lane;
    const float* source = samples + first;
    float* target = medians + first;
{body}
}}
"""


def kernel_source(width: int) -> str:
    """CUDA's C: each thread takes one lane's group of medians, the threads of a block neighbouring lanes."""
    network = build(width)
    wires = [
        f"const float w{wire} = source[(long long)mirrored(row + {wire - width // 2}, n_rows) * n_lanes];"
        for wire in range(network.inputs)
    ]
    for number, comparator in enumerate(network.comparators, start=network.inputs):
        choose = "fminf" if comparator.is_minimum else "fmaxf"
        wires.append(f"const float w{number} = {choose}(w{comparator.left}, w{comparator.right});")
    outputs = [
        f"if (row + {output} < n_rows) target[(long long)(row + {output}) * n_lanes] = w{wire};"
        for output, wire in enumerate(network.outputs)
    ]
    body = "\n".join(f"    {line}" for line in [*wires, *outputs])
    return _FRAME.format(outputs=OUTPUTS_AT_ONCE, body=body)


@cache
def _kernel(width: int, device: torch.device) -> Callable[..., None] | None:
    """None where torch cannot compile it: the same medians then come from tensors, several times slower."""
    try:
        with torch.cuda.device(device):
            compile_kernel = torch.cuda._compile_kernel
            return cast("Callable[..., None]", compile_kernel(kernel_source(width), "running_median"))
    except (AttributeError, ImportError, OSError, RuntimeError) as error:
        _logger.warning("the running median takes the slower way on %s: %s", device, error)
        return None


def running_median_of_rows(samples: Tensor, width: int) -> Tensor | None:
    """Median of the `width` rows around each one.

    Args:
        samples: (batch, row, lane) float32 on a graphics card, contiguous, at most 65,535 items; finite.

    Returns:
        (batch, row, lane), or None where there is no kernel for the card.
    """
    kernel = _kernel(width, samples.device)
    if kernel is None:
        return None
    batch, rows, lanes = samples.shape
    medians = torch.empty_like(samples)
    grid: tuple[Any, ...] = (-(-lanes // _THREADS), -(-rows // OUTPUTS_AT_ONCE), batch)
    with torch.cuda.device(samples.device):
        kernel(grid=grid, block=(_THREADS, 1, 1), args=[samples, medians, rows, lanes])
    return medians
