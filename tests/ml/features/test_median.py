from __future__ import annotations

import numpy as np
import pytest
import scipy.ndimage
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from groovemark.ml.features import median


@pytest.mark.parametrize("shape", [(1, 200, 1025), (2, 64, 33), (3, 31, 5), (1, 1025, 40)])
def test_equals_scipy_bit_for_bit(shape):
    samples = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    expected = scipy.ndimage.median_filter(samples.numpy(), size=(1, 31, 1), mode="reflect")
    assert np.array_equal(median.running_median(samples, 31).numpy(), expected)


@settings(deadline=None, max_examples=40)
@given(rows=st.integers(1, 70), width=st.sampled_from([9, 17, 31]), seed=st.integers(0, 999))
def test_equals_the_definition_however_few_rows_there_are(rows, width, seed):
    """scipy's own filter is wrong for two rows, so the definition is spelled out."""
    samples = np.random.default_rng(seed).integers(0, 6, (1, rows, 3)).astype(np.float32)
    mirrored = np.pad(samples, ((0, 0), (width // 2, width // 2), (0, 0)), mode="symmetric")
    windows = np.lib.stride_tricks.sliding_window_view(mirrored, width, axis=1)
    expected = np.median(windows, axis=-1)
    assert np.array_equal(median.running_median(torch.from_numpy(samples), width).numpy(), expected)


def test_sharing_saves_five_sixths_of_the_comparators():
    alone = len(median.build(31, 1).comparators)
    shared = len(median.build(31, 8).comparators) / 8
    assert shared < alone / 6
