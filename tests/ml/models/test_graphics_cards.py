"""Networks taught and asked on a graphics card, compared with the processor."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import taught_target
import torch

from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry

SHIPPED = Path(__file__).parents[3] / "model"
LOSSES = {"atol": 0.01}
"""Products in bfloat16 have three digits."""
PROBABILITIES = {"atol": 1e-3}

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch finds none")


def on_the_processor(*arguments: str) -> str:
    """What a program prints that sees no graphics card."""
    environment = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    command = [sys.executable, *arguments]
    return subprocess.run(command, env=environment, check=True, capture_output=True, text=True).stdout


def losses_in(lines: list[str], device: str) -> list[float]:
    """Of every epoch; all of them were taught there."""
    epochs = [line for line in lines if ": epoch " in line]
    assert all(f" on {device} (" in line for line in epochs), epochs
    return [float(re.findall(r"loss ([\d.]+)", line)[0]) for line in epochs]


@pytest.mark.parametrize("family", ["cnn", "transformer"])
def test_a_network_learns_on_a_graphics_card_what_it_learns_on_the_processor(family: str, tmp_path: Path) -> None:
    """Without dropout, which draws from each device's own random numbers. Models of texts are taught on the processor
    alone."""
    settings = {"epochs": 4, "dropout": 0.0}
    lines: list[str] = []
    taught_target.taught(family, tmp_path / "cuda", lines.append, **settings)
    told = on_the_processor(taught_target.__file__, family, str(tmp_path / "cpu"), json.dumps(settings))
    expected = losses_in(told.splitlines(), "cpu")
    assert expected[-1] < expected[0]
    np.testing.assert_allclose(losses_in(lines, "cuda"), expected, **LOSSES)


def windows_like_those_that_taught(name: str) -> FeatureTable:
    """Noise with the means and deviations of the bands that the model has in its reference."""
    reference = json.loads((SHIPPED / name / "1" / "reference.json").read_text())
    spec = FEATURE_SETS[reference["features"]]
    frames, bands = spec.window_shape
    medians = {name: values[len(values) // 2] for name, values in reference["numbers"].items()}
    means, deviations = (
        np.repeat(parts, bands // len(parts))
        for parts in ([value for name, value in medians.items() if name.endswith(end)] for end in ("_mean", "_std"))
    )
    noise = np.random.default_rng(0).normal(size=(30, frames, bands))
    loudness = np.linspace(-1, 1, 30)[:, None, None]
    return FeatureTable.of_windows(spec, means + deviations * (noise + loudness))


ASKING = """
import sys
from pathlib import Path
import numpy as np
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
model = registry.load(Path(sys.argv[1]))
np.save(sys.argv[3], model.run(FeatureTable.of_windows(model.spec.features, np.load(sys.argv[2]))))
"""


@pytest.mark.parametrize("name", ["gtzan-ast", "gtzan-cnn"])
def test_a_shipped_network_answers_on_a_graphics_card_as_on_the_processor(name: str, tmp_path: Path) -> None:
    folder, windows = SHIPPED / name / "1", windows_like_those_that_taught(name)
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    answers = registry.load(folder).run(windows)
    assert torch.cuda.max_memory_allocated() > before, "it was asked on the processor"
    np.save(tmp_path / "windows.npy", windows.tensors)
    on_the_processor("-c", ASKING, str(folder), str(tmp_path / "windows.npy"), str(tmp_path / "answers.npy"))
    expected = np.load(tmp_path / "answers.npy")
    assert expected.std(axis=0).max() > 0.01, "it answers the same whatever it is asked"
    np.testing.assert_allclose(answers, expected, **PROBABILITIES)
