"""Every set that is computed from audio, and both ways to compute it on the processor."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec

AUDIO_SETS = pytest.mark.parametrize(
    "spec", [spec for spec in FEATURE_SETS.values() if spec.audio is not None], ids=lambda spec: spec.name
)
WAYS = pytest.mark.parametrize("is_compiled", [True, False], ids=["compiled", "tensors"])


def extract(spec: FeatureSpec, *waveforms: np.ndarray, is_compiled: bool = True, device: str = "cpu") -> np.ndarray:
    """(batch, …) of waveforms of any length; what follows a shorter one is garbage."""
    lengths = [len(waveform) for waveform in waveforms]
    batch = torch.full((len(waveforms), max(lengths)), 0.9)
    for row, waveform in zip(batch, waveforms, strict=True):
        row[: len(waveform)] = torch.from_numpy(waveform)
    return Extractor(spec, is_compiled=is_compiled).extract(batch.to(device), lengths).cpu().numpy()
