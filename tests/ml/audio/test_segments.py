from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from groovemark.ml.audio.segments import windows


def cut(n_samples: int, *, block: int = 7, **options: int) -> list[list[int]]:
    samples = np.arange(n_samples, dtype=np.float32)
    blocks = (samples[start : start + block] for start in range(0, n_samples, block))
    sizes = {"length_samples": 30, "hop_samples": 30, "shortest_samples": 15} | options
    return [[int(sample) for sample in window] for window in windows(blocks, **sizes)]


@pytest.mark.parametrize(
    ("n_samples", "lengths"),
    [(0, []), (1, [1]), (14, [14]), (30, [30]), (44, [30]), (45, [30, 15]), (60, [30, 30]), (104, [30, 30, 30])],
)
def test_a_last_window_under_half_is_dropped_unless_alone(n_samples, lengths):
    assert [len(window) for window in cut(n_samples)] == lengths


@given(st.integers(1, 300), st.integers(1, 400))
def test_windows_do_not_depend_on_the_blocks_and_lose_nothing_between_them(n_samples, block):
    joined = [sample for window in cut(n_samples, block=block, shortest_samples=1) for sample in window]
    assert joined == list(range(n_samples))


@given(st.integers(1, 60), st.integers(0, 50), st.integers(1, 50), st.integers(30, 300))
def test_windows_start_a_hop_apart_from_the_offset_on(hop, offset, block, n_samples):
    found = cut(n_samples, block=block, hop_samples=hop, offset_samples=offset, shortest_samples=30)
    starts = range(offset, n_samples - 29, hop)
    expected = [list(range(start, start + 30)) for start in starts]
    if not expected and offset < n_samples:
        expected = [list(range(offset, n_samples))]
    assert found == expected
