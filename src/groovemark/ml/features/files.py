"""From one audio file to the features of its windows; what a sandbox's child runs."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache

import numpy as np
import torch

from groovemark.errors import AudioRejected
from groovemark.ml.audio import compiled
from groovemark.ml.audio.decode import Waveform, mono_blocks
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.audio.segments import windows
from groovemark.ml.audio.sources import open_audio
from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import FEATURE_SETS


@cache
def _extractor(spec_name: str) -> Extractor:
    return Extractor(FEATURE_SETS[spec_name])


def warm_up() -> None:
    """Compiles every loop, or loads it from the cache on disk, so that the first file is as fast as the others."""
    compiled.warm_up()
    for spec in FEATURE_SETS.values():
        if spec.audio is not None:
            _extractor(spec.name).extract(torch.linspace(-1, 1, spec.audio.sample_rate)[None])


def extract_file(path: str, spec_name: str) -> FileFeatures:
    """Decodes a file as a stream and extracts the features of each of its windows.

    A tensor becomes one row of numbers, to be given the spec's shape again.

    Raises AudioRejected: the file cannot be decoded, is out of limits, or holds samples that are not finite.
    """
    extractor = _extractor(spec_name)
    source = extractor.source
    n_samples = 0

    def counted(blocks: Iterator[Waveform]) -> Iterator[Waveform]:
        nonlocal n_samples
        for block in blocks:
            n_samples += len(block)
            yield block

    with open_audio(path) as audio:
        title = audio.info.title
        rows = [
            extractor.extract(torch.from_numpy(window)[None])[0].numpy()
            for window in windows(
                counted(mono_blocks(audio, source.sample_rate)),
                length_samples=round(source.window_s * source.sample_rate),
                hop_samples=round(source.hop_s * source.sample_rate),
                shortest_samples=round(source.shortest_window_s * source.sample_rate),
                offset_samples=round(source.offset_s * source.sample_rate),
            )
        ]
    features = np.stack(rows).reshape(len(rows), -1)
    if not np.isfinite(features).all():
        raise AudioRejected("not_finite", "The audio holds samples that are not finite or far beyond full scale.")
    return FileFeatures(features, title, n_samples / source.sample_rate)
