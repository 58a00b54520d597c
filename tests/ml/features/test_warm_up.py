"""After the warm-up nothing is compiled any more, whatever the file."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
from numba.core.dispatcher import Dispatcher

from groovemark.ml.features.files import extract_file, warm_up

SECONDS = 1


def compiled_signatures() -> dict[str, int]:
    """How many versions of each compiled loop of audio and features there are."""
    return {
        f"{module.__name__}.{name}": len(found.signatures)
        for module in list(sys.modules.values())
        if module is not None and module.__name__.startswith(("groovemark.ml.audio", "groovemark.ml.features"))
        for name, found in vars(module).items()
        if isinstance(found, Dispatcher)
    }


@pytest.mark.parametrize("channels", [1, 2, 3])
@pytest.mark.parametrize(
    ("name", "subtype"),
    [("a.wav", "PCM_16"), ("a.wav", "PCM_24"), ("a.wav", "FLOAT"), ("a.flac", "PCM_16"), ("a.ogg", None)],
)
def test_reading_a_file_compiles_nothing_new(tmp_path: Path, name: str, subtype: str | None, channels: int) -> None:
    """The first 16-bit wav after an installation once failed: its mixing loop was compiled inside the sandbox, where
    nothing can be kept on disk."""
    noise = np.random.default_rng(1).uniform(-0.5, 0.5, (SECONDS * 44_100, channels))
    soundfile.write(tmp_path / name, noise, 44_100, subtype=subtype)
    warm_up()
    before = compiled_signatures()
    for features in ("fma-42", "gtzan-57", "composer-118"):
        extract_file(str(tmp_path / name), features)
    assert compiled_signatures() == before
