"""Running median: compiled for the processor and for graphics cards, by whole-tensor minima and maxima on any device.

All run the same network (network.py) and give the same bits: those of scipy.ndimage's median filter.
"""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from groovemark.ml.compiling import compiled
from groovemark.ml.features.cuda_median import running_median_of_rows
from groovemark.ml.features.network import OUTPUTS_AT_ONCE, Network, build
from groovemark.ml.features.vectors import LANES, network_step

WINDOW = 31
"""The one width that is compiled."""

LANES_AT_ONCE = 1 << 15
"""Samples a wire of tensors holds at a time: some 50 wires of it stay in the processor's second-level cache."""

LANES_AT_ONCE_ELSEWHERE = 1 << 22
"""The same on another device, which every comparator costs a launch: 50 wires of it take 840 MB."""

_NETWORK = build(WINDOW)
_INPUTS = _NETWORK.inputs
_step = network_step(_NETWORK)


def running_median(samples: Tensor, width: int, *, dim: int = 1) -> Tensor:
    """Median of the `width` samples around each one.

    Args:
        samples: (batch, row, lane); finite.
        width: odd number of samples; windows that reach over an end see the samples mirrored there.
        dim: 1 along the rows, 2 along the lanes.

    Returns:
        (batch, row, lane): the bits of scipy.ndimage.median_filter(size=(1, width, 1), mode="reflect").
    """
    if samples.device.type == "cuda" and samples.dtype == torch.float32 and samples.numel() > 0:
        rows = samples if dim == 1 else samples.transpose(1, 2)
        found = running_median_of_rows(rows.contiguous(), width)
        if found is not None:
            return found if dim == 1 else found.transpose(1, 2)
    if width != WINDOW or samples.device.type != "cpu" or samples.dtype != torch.float32:
        return running_median_of_tensors(samples, width, dim=dim)
    medians = np.empty(samples.shape, dtype=np.float32)
    along = down_columns if dim == 1 else along_rows
    for item, target in zip(samples.contiguous().numpy(), medians, strict=True):
        along(item, target)
    return torch.from_numpy(medians)


@compiled
def down_columns(samples: NDArray[np.float32], medians: NDArray[np.float32]) -> None:
    """Medians of 31 rows each. (row, column), contiguous; any number of either."""
    n_rows, n_columns = samples.shape
    source_rows, target_rows = np.empty(_INPUTS, np.int64), np.empty(OUTPUTS_AT_ONCE, np.int64)
    margin = np.zeros((_INPUTS + OUTPUTS_AT_ONCE, LANES), np.float32)
    whole = n_columns // LANES * LANES
    for row in range(0, n_rows, OUTPUTS_AT_ONCE):
        for wire in range(_INPUTS):
            source_rows[wire] = _mirrored(row + wire - WINDOW // 2, n_rows)
        n_outputs = min(OUTPUTS_AT_ONCE, n_rows - row)
        target = medians[row : row + n_outputs]
        if n_outputs < OUTPUTS_AT_ONCE:
            for column in range(0, n_columns, LANES):
                _through_margin(samples, source_rows, column, target, margin)
            continue
        source_rows *= n_columns
        for output in range(OUTPUTS_AT_ONCE):
            target_rows[output] = output * n_columns
        for column in range(0, whole, LANES):
            _step(samples, source_rows, column, target, target_rows, column)
        if whole < n_columns:
            _through_margin(samples, source_rows // n_columns, whole, target, margin)


@compiled
def _through_margin(
    samples: NDArray[np.float32],
    source_rows: NDArray[np.int64],
    column: int,
    target: NDArray[np.float32],
    margin: NDArray[np.float32],
) -> None:
    """The last rows and columns, which fill no vector: their samples are copied to one, and back."""
    n_lanes = min(LANES, samples.shape[1] - column)
    for wire in range(_INPUTS):
        for lane in range(n_lanes):
            margin[wire, lane] = samples[source_rows[wire], column + lane]
    places = np.arange(_INPUTS + OUTPUTS_AT_ONCE) * LANES
    _step(margin, places, 0, margin, places[_INPUTS:], 0)
    for output in range(len(target)):
        for lane in range(n_lanes):
            target[output, column + lane] = margin[_INPUTS + output, lane]


@compiled
def along_rows(samples: NDArray[np.float32], medians: NDArray[np.float32]) -> None:
    """Medians of 31 neighbours in a row. (row, column), contiguous; any number of either."""
    n_rows, n_columns = samples.shape
    phases, phase_medians, wires, outputs = margins(n_columns)
    for row in range(n_rows):
        medians_of_row(samples[row], phases, phase_medians, wires, outputs)
        for column in range(n_columns):
            medians[row, column] = phase_medians[column % OUTPUTS_AT_ONCE, column // OUTPUTS_AT_ONCE]


@compiled
def margins(
    n_columns: int,
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.int64], NDArray[np.int64]]:
    """Room for `medians_of_row`: phases, their medians, and where the network's wires and outputs begin."""
    n_groups = -(-n_columns // OUTPUTS_AT_ONCE)
    stride = -(-n_groups // LANES) * LANES + LANES
    phases = np.zeros((OUTPUTS_AT_ONCE, stride), np.float32)
    phase_medians = np.empty((OUTPUTS_AT_ONCE, stride), np.float32)
    wires = np.empty(_INPUTS, np.int64)
    for wire in range(_INPUTS):
        wires[wire] = wire % OUTPUTS_AT_ONCE * stride + wire // OUTPUTS_AT_ONCE
    return phases, phase_medians, wires, np.arange(OUTPUTS_AT_ONCE) * stride


@compiled
def medians_of_row(
    samples: NDArray[np.float32],
    phases: NDArray[np.float32],
    phase_medians: NDArray[np.float32],
    wires: NDArray[np.int64],
    outputs: NDArray[np.int64],
) -> None:
    """Every eighth sample in a row of its own: then the 38 wires of neighbouring groups are 38 plain vectors.

    Leaves the median around sample i in phase_medians[i % 8, i // 8].
    """
    n_columns, half = len(samples), WINDOW // 2
    n_groups = -(-n_columns // OUTPUTS_AT_ONCE)
    n_positions = n_groups + -(-_INPUTS // OUTPUTS_AT_ONCE)
    first_plain = -(-half // OUTPUTS_AT_ONCE)
    last_plain = max(first_plain, (n_columns - OUTPUTS_AT_ONCE + half) // OUTPUTS_AT_ONCE)
    for phase in range(OUTPUTS_AT_ONCE):
        target = phases[phase]
        for position in range(first_plain):
            target[position] = samples[_mirrored(position * OUTPUTS_AT_ONCE + phase - half, n_columns)]
        for position in range(last_plain, n_positions):
            target[position] = samples[_mirrored(position * OUTPUTS_AT_ONCE + phase - half, n_columns)]
    for position in range(first_plain, last_plain):
        start = position * OUTPUTS_AT_ONCE - half
        for phase in range(OUTPUTS_AT_ONCE):
            phases[phase, position] = samples[start + phase]
    for column in range(0, n_groups, LANES):
        _step(phases, wires, column, phase_medians, outputs, column)


@compiled
def _mirrored(index: int, length: int) -> int:
    """-1 is 0, -2 is 1, …; length is length - 1, and so on, as often as it takes."""
    folded = index % (2 * length)
    return min(folded, 2 * length - 1 - folded)


def running_median_of_tensors(samples: Tensor, width: int, *, dim: int = 1) -> Tensor:
    """As `running_median`, on any device."""
    if dim == 2:
        return running_median_of_tensors(samples.transpose(1, 2).contiguous(), width).transpose(1, 2)
    network = build(width)
    batch, rows, lanes = samples.shape
    groups = -(-rows // OUTPUTS_AT_ONCE)
    index = _reflected(rows, width // 2, width // 2 + groups * OUTPUTS_AT_ONCE - rows, samples.device)
    padded = samples.index_select(1, index)  # (batch, row + width - 1, lane)
    medians = torch.empty(batch, groups, OUTPUTS_AT_ONCE, lanes, dtype=samples.dtype, device=samples.device)
    at_once = LANES_AT_ONCE if samples.device.type == "cpu" else LANES_AT_ONCE_ELSEWHERE
    step = max(1, at_once // (batch * lanes))
    for start in range(0, groups, step):
        stop = min(start + step, groups)
        rows_of_wire = [
            padded[:, start * OUTPUTS_AT_ONCE + wire : (stop - 1) * OUTPUTS_AT_ONCE + wire + 1 : OUTPUTS_AT_ONCE]
            for wire in range(network.inputs)
        ]  # each (batch, group, lane)
        for number, median in enumerate(_run(network, rows_of_wire)):
            medians[:, start:stop, number] = median
    return medians.flatten(1, 2)[:, :rows]


def _run(network: Network, samples: list[Tensor]) -> list[Tensor]:
    wires = dict(enumerate(samples))
    for index, comparator in enumerate(network.comparators):
        choose = torch.minimum if comparator.is_minimum else torch.maximum
        wires[network.inputs + index] = choose(wires[comparator.left], wires[comparator.right])
        for wire in network.dying[index]:
            del wires[wire]
    return [wires[wire] for wire in network.outputs]


def _reflected(length: int, before: int, after: int, device: torch.device) -> Tensor:
    """Indexes -before .. length+after-1 folded back into 0..length-1: d c b a | a b c d | d c b a."""
    index = torch.arange(-before, length + after, device=device) % (2 * length)
    return torch.minimum(index, 2 * length - 1 - index)
