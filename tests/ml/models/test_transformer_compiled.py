"""What OpenVINO makes of a spectrogram transformer."""

from __future__ import annotations

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray

from groovemark.errors import ModelUnavailable
from groovemark.ml.models.transformer import compiled
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import make_scorer
from groovemark.ml.models.transformer.shape import AstShape

CPU = torch.device("cpu")
SMALL = AstShape(
    hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=128, max_length=128, num_mel_bins=64
)
"""77 tokens."""


def network(**changes: object) -> Network:
    torch.manual_seed(0)
    made = Network(AstShape(**{name: getattr(SMALL, name) for name in SMALL.__slots__} | changes), 5)
    for parameter in made.parameters():  # biases and norms too, so that one left out is missed
        torch.nn.init.normal_(parameter, std=0.2)
    return made.eval()


@pytest.fixture(scope="module")
def windows() -> NDArray[np.float32]:
    return np.random.default_rng(0).normal(size=(3, 128, 64)).astype(np.float32)


def without(monkeypatch: pytest.MonkeyPatch, library: str) -> None:
    monkeypatch.setattr(compiled, "find_spec", lambda name: None if name == library else find_spec(name))


@pytest.mark.parametrize("changes", [{}, {"qkv_bias": False}, {"num_hidden_layers": 1}, {"frequency_stride": 10}])
def test_in_float32_it_is_the_network(changes, windows, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compiled, "has_bfloat16", lambda _: False)
    expected = make_scorer(network(**changes), "fp32", CPU)(windows)
    scores = compiled.compile_network(network(**changes), "bf16")(windows)
    np.testing.assert_allclose(scores, expected, atol=1e-4 * expected.std())


@pytest.mark.parametrize("has_bfloat16", [True, False])
@pytest.mark.parametrize(("precision", "error"), [("bf16", 0.03), ("int8", 0.05)])
def test_in_fewer_bits_it_is_near(has_bfloat16, precision, error, windows, monkeypatch: pytest.MonkeyPatch) -> None:
    if has_bfloat16 and not compiled.has_bfloat16(CPU):
        pytest.skip("this processor has no bfloat16")
    monkeypatch.setattr(compiled, "has_bfloat16", lambda _: has_bfloat16)
    expected = make_scorer(network(), "fp32", CPU)(windows)
    scores = compiled.compile_network(network(), precision)(windows)
    assert np.sqrt(np.mean((scores - expected) ** 2)) < error * expected.std()


def test_what_tokens_bring_is_cut_into_steps_too_and_not_the_weights_alone(
    windows, monkeypatch: pytest.MonkeyPatch
) -> None:
    scores = compiled.compile_network(network(), "int8")(windows)
    monkeypatch.setattr(compiled, "group_size", lambda *_: 0)
    assert (scores != compiled.compile_network(network(), "int8")(windows)).any()


def test_several_threads_ask_it_at_once(windows) -> None:
    """Its requests are one thread's each: a second one was told that it is busy."""
    score = make_scorer(network(), "int8", CPU)
    expected = score(windows)
    with ThreadPoolExecutor(8) as threads:
        for answer in threads.map(lambda _: score(windows), range(64)):
            np.testing.assert_array_equal(answer, expected)


def test_without_the_library_int8_is_unavailable_and_bf16_is_torchs(windows, monkeypatch: pytest.MonkeyPatch) -> None:
    without(monkeypatch, "openvino")
    with pytest.raises(ModelUnavailable, match=r"int8 needs openvino: pip install '\.\[openvino\]'"):
        make_scorer(network(), "int8", CPU)
    narrow = network()
    scores = make_scorer(narrow, "bf16", CPU)(windows)
    assert narrow.head.weight.dtype == torch.bfloat16
    assert scores.shape == (3, 5)


def test_nobody_is_told_that_it_is_used(tmp_path: Path) -> None:
    """OpenVINO reported every import to statistics on the web, and left a folder for them in the home folder."""
    script = """
import sys
import torch
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import make_scorer
from groovemark.ml.models.transformer.shape import AstShape

network = Network(AstShape(hidden_size=8, num_hidden_layers=1, num_attention_heads=1, intermediate_size=8), 2)
make_scorer(network, "int8", torch.device("cpu"))
print(sys.modules.get("openvino") is not None, sys.modules["openvino_telemetry"])
"""
    environment = {**os.environ, "HOME": str(tmp_path)}
    done = subprocess.run([sys.executable, "-c", script], env=environment, check=True, capture_output=True, text=True)
    assert done.stdout.split() == ["True", "None"]
    assert not list(tmp_path.iterdir())
