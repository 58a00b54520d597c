from __future__ import annotations

import ctypes
import shutil
import subprocess

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groovemark.ml.features import cuda_median, median, network

WAYS = pytest.mark.parametrize("running_median", [median.running_median, median.running_median_of_tensors])


@WAYS
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("shape", [(1, 200, 1025), (2, 64, 33), (3, 31, 5), (1, 1025, 40)])
def test_equals_scipy_bit_for_bit(running_median, shape, dim):
    samples = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    size = (1, 31, 1) if dim == 1 else (1, 1, 31)
    expected = scipy.ndimage.median_filter(samples.numpy(), size=size, mode="reflect")
    assert np.array_equal(running_median(samples, 31, dim=dim).numpy(), expected)


@WAYS
@settings(deadline=None, max_examples=60)
@given(
    rows=st.integers(1, 70),
    lanes=st.integers(1, 35),
    width=st.sampled_from([9, 17, 31]),
    dim=st.sampled_from([1, 2]),
    seed=st.integers(0, 999),
)
def test_equals_the_definition_however_few_samples_there_are(running_median, rows, lanes, width, dim, seed):
    """scipy's own filter is wrong for two rows, so the definition is spelled out."""
    samples = np.random.default_rng(seed).integers(0, 6, (2, rows, lanes)).astype(np.float32)
    margins = [(0, 0), (0, 0), (0, 0)]
    margins[dim] = (width // 2, width // 2)
    mirrored = np.pad(samples, margins, mode="symmetric")
    expected = np.median(np.lib.stride_tricks.sliding_window_view(mirrored, width, axis=dim), axis=-1)
    assert np.array_equal(running_median(torch.from_numpy(samples), width, dim=dim).numpy(), expected)


def test_sharing_saves_five_sixths_of_the_comparators():
    alone = len(network.build(31, 1).comparators)
    shared = len(network.build(31, 8).comparators) / 8
    assert shared < alone / 6


CARD = """
#include <math.h>
#define __global__
#define __device__ static
struct Place {{ int x, y, z; }};
static struct Place blockIdx, threadIdx = {{0, 0, 0}}, blockDim = {{1, 1, 1}};
{kernel}
extern "C" void run(const float* samples, float* medians, int batch, int n_rows, int n_lanes) {{
    for (blockIdx.z = 0; blockIdx.z < batch; blockIdx.z++)
        for (blockIdx.y = 0; blockIdx.y < (n_rows + 7) / 8; blockIdx.y++)
            for (blockIdx.x = 0; blockIdx.x < n_lanes; blockIdx.x++) running_median(samples, medians, n_rows, n_lanes);
}}
"""
"""What stands for a graphics card, one thread after another."""


@pytest.mark.skipif(shutil.which("c++") is None, reason="needs a C++ compiler")
def test_the_kernel_for_graphics_cards_computes_the_same_medians(tmp_path):
    (tmp_path / "card.cpp").write_text(CARD.format(kernel=cuda_median.kernel_source(31)))
    command = ["c++", "-O1", "-shared", "-fPIC", "-o", tmp_path / "card.so", tmp_path / "card.cpp"]
    subprocess.run(command, check=True)
    card = ctypes.CDLL(str(tmp_path / "card.so"))
    for shape in ((2, 200, 65), (3, 31, 5), (1, 1, 3), (1, 2, 2), (2, 9, 1)):
        samples = torch.rand(shape, generator=torch.Generator().manual_seed(3))
        medians = torch.full(shape, torch.nan)
        card.run(ctypes.c_void_p(samples.data_ptr()), ctypes.c_void_p(medians.data_ptr()), *shape)
        assert torch.equal(medians, median.running_median(samples, 31)), shape
