"""The numbers of one device are those of another, within a stated tolerance."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from extracting import AUDIO_SETS, extract
from sounds import DITHERED, EXACT, synthesize

from groovemark.ml.audio.decode import decode
from groovemark.ml.features.median import WINDOW, running_median, running_median_of_tensors

CLIP = Path(__file__).parents[3] / "src" / "groovemark" / "cli" / "demo" / "clips" / "vibe-ace.ogg"

TOLERANCE = {"rtol": 1e-3, "atol": 1e-5}
"""Of the numbers themselves, means near zero included: transforms of other devices round otherwise."""

needs_cuda = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch finds none")
DEVICES = pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=needs_cuda)])


@AUDIO_SETS
@DEVICES
def test_tracks_computed_together_have_the_numbers_of_the_compiled_way(spec, device):
    """Music, noise and clipping in two lengths, a recording, silence; a broken track among them."""
    rate = spec.audio.sample_rate
    tracks = [synthesize(kind, seconds, sample_rate=rate) for kind in DITHERED for seconds in (1.0, 3.5)]
    tracks += [decode(CLIP, rate)[: 5 * rate], synthesize("silence", 3.5, sample_rate=rate)]
    broken = np.full(round(3.5 * rate), np.nan, np.float32)
    together = extract(spec, *tracks, broken, is_compiled=False, device=device)
    np.testing.assert_allclose(together[:-1], extract(spec, *tracks), **TOLERANCE)
    assert np.isnan(together[-1]).all()


@AUDIO_SETS
@DEVICES
def test_odd_sounds_computed_together_give_finite_numbers(spec, device):
    """What a bin holds that is 140 dB below the frame's loudest is a transform's rounding, and each device's own."""
    tracks = [synthesize(kind, 1.0)[:n_samples] for kind in EXACT for n_samples in (1, 700, 22_050)]
    assert np.isfinite(extract(spec, *tracks, is_compiled=False, device=device)).all()


@needs_cuda
@pytest.mark.parametrize("dim", [1, 2])
@pytest.mark.parametrize("shape", [(2, 1292, 1025), (3, 31, 5), (1, 1, 40), (2, 70, 33)])
def test_running_medians_have_the_processors_bits(shape, dim):
    samples = torch.rand(shape, generator=torch.Generator().manual_seed(3))
    expected = running_median(samples, WINDOW, dim=dim)
    for way in (running_median, running_median_of_tensors):
        assert torch.equal(way(samples.cuda(), WINDOW, dim=dim).cpu(), expected), way.__name__
