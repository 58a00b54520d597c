from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groovemark.ml.features import median, network

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
