"""From one audio file to the features of its windows; what a sandbox's child runs."""

from __future__ import annotations

from functools import cache

import numpy as np
import torch

from groovemark.ml.audio import mixing
from groovemark.ml.audio.messages import FileFeatures, not_finite
from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.waveforms import FileWindows


@cache
def _extractor(spec_name: str) -> Extractor:
    return Extractor(FEATURE_SETS[spec_name])


def warm_up() -> None:
    """Compiles every loop, or loads it from the cache on disk, so that the first file is as fast as the others."""
    mixing.warm_up()
    for spec in FEATURE_SETS.values():
        if spec.audio is not None:
            _extractor(spec.name).extract(_pulses(spec.audio.sample_rate))


def _pulses(sample_rate: int) -> torch.Tensor:
    """(1, time): four beats in two seconds, because the beats of a sound without onsets are not looked for."""
    waveform = torch.linspace(-0.1, 0.1, 2 * sample_rate)
    waveform[:: sample_rate // 2] = 1.0
    return waveform[None]


def extract_file(path: str, spec_name: str) -> FileFeatures:
    """Decodes a file as a stream and extracts the features of each of its windows.

    A tensor becomes one row of numbers, to be given the spec's shape again.

    Raises AudioRejected: the file cannot be decoded, is out of limits, or holds samples that are not finite.
    """
    extractor = _extractor(spec_name)
    cut = FileWindows(path, extractor.spec)
    rows = [extractor.extract(torch.from_numpy(window)[None])[0].numpy() for window in cut]
    features = np.stack(rows).reshape(len(rows), -1)
    if not np.isfinite(features).all():
        raise not_finite()
    return FileFeatures(features, cut.end.title, cut.end.duration_s)
