from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from groovemark.errors import ModelRejected, ModelUnavailable
from groovemark.ml.encoders.encoder import MUSICNN_FOLDER, WEIGHTS_NAME, open_encoder
from groovemark.ml.encoders.musicnn import WIDTHS, activations, build, shapes
from groovemark.ml.encoders.weights import write_weights
from groovemark.ml.features.sets import FMA_42, LOG_MEL, MUSICNN_200, MUSICNN_753
from groovemark.ml.features.tabular import FeatureTable

REFERENCE = Path(__file__).with_name("musicnn_reference.npz")
"""Answers of a separate torch port, itself within 1.2e-6 of the original TensorFlow graph."""


def spectrograms() -> FeatureTable:
    """Two windows, the second of which ends in silence."""
    numbers = np.random.default_rng(0).uniform(0, 4, size=(2, *LOG_MEL.shape)).astype(np.float32)
    numbers[1, 120:] = 0
    return FeatureTable.of_windows(LOG_MEL, numbers)


@pytest.fixture(scope="module")
def invented():
    """A network of random weights, for what does not depend on them."""
    generator = np.random.default_rng(0)
    return build({name: generator.uniform(0, 0.1, shape).astype(np.float32) for name, shape in shapes().items()})


def test_every_layer_answers_as_the_original_network_does(weights) -> None:
    network, expected = build(weights), np.load(REFERENCE)
    for layer in WIDTHS:
        tolerance = 2e-6 * np.abs(expected[layer]).max()
        np.testing.assert_allclose(activations(network, spectrograms(), layer), expected[layer], 1e-5, tolerance)


def test_a_window_has_the_same_bits_alone_and_among_others_on_any_number_of_threads(invented) -> None:
    table = spectrograms()
    together = activations(invented, table, "penultimate")
    np.testing.assert_array_equal(activations(invented, table, "penultimate", threads=2), together)
    alone = activations(invented, FeatureTable(LOG_MEL, table.numbers[1:]), "penultimate")
    np.testing.assert_array_equal(alone[0], together[1])


def test_numbers_far_outside_of_any_sound_overflow_nowhere(invented) -> None:
    largest = np.full((1, 187 * 96), np.finfo(np.float32).max, dtype=np.float32)
    assert np.isfinite(activations(invented, FeatureTable(LOG_MEL, largest), "tags")).all()


def test_no_windows_give_no_answers(invented) -> None:
    none = FeatureTable(LOG_MEL, np.empty((0, 187 * 96), dtype=np.float32))
    assert activations(invented, none, "mean_pool").shape == (0, 753)


def test_the_settings_of_torch_are_as_before(invented) -> None:
    before = torch.get_num_threads()
    activations(invented, FeatureTable(LOG_MEL, spectrograms().numbers[:1]), "tags")
    assert torch.get_num_threads() == before


def test_refuses_rows_of_another_feature_set(invented) -> None:
    with pytest.raises(ModelRejected, match="these rows are fma-42"):
        activations(invented, FeatureTable(FMA_42, np.zeros((1, 42))), "tags")


def test_an_encoder_makes_rows_of_its_own_set(weights, tmp_path: Path) -> None:
    (tmp_path / MUSICNN_FOLDER).mkdir(parents=True)
    write_weights(tmp_path / MUSICNN_FOLDER / WEIGHTS_NAME, weights)
    table = open_encoder(MUSICNN_753, tmp_path, for_whom="a test").encode(spectrograms())
    assert table.spec is MUSICNN_753
    assert table.numbers.dtype == np.float32
    np.testing.assert_allclose(table.numbers, np.load(REFERENCE)["mean_pool"], rtol=1e-5, atol=2e-4)


def test_weights_that_were_not_imported_are_asked_for_by_the_command_that_imports_them(tmp_path: Path) -> None:
    with pytest.raises(ModelUnavailable, match=r"a test needs the weights .* `groovemark model import musicnn`"):
        open_encoder(MUSICNN_200, tmp_path, for_whom="a test")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"", "cannot be read"), (b"\x80\x04K\x01.", "cannot be read"), (bytes(5 << 20), "larger than")],
    ids=["empty", "pickle", "huge"],
)
def test_a_file_that_does_not_hold_weights_is_refused(tmp_path: Path, content: bytes, complaint: str) -> None:
    (tmp_path / MUSICNN_FOLDER).mkdir(parents=True)
    (tmp_path / MUSICNN_FOLDER / WEIGHTS_NAME).write_bytes(content)
    with pytest.raises(ModelRejected, match=complaint):
        open_encoder(MUSICNN_200, tmp_path, for_whom="a test")


def test_other_weights_of_the_same_shapes_are_refused(tmp_path: Path) -> None:
    (tmp_path / MUSICNN_FOLDER).mkdir(parents=True)
    zeros = {name: np.zeros(shape, dtype=np.float32) for name, shape in shapes().items()}
    write_weights(tmp_path / MUSICNN_FOLDER / WEIGHTS_NAME, zeros)
    with pytest.raises(ModelRejected, match="does not hold the expected weights"):
        open_encoder(MUSICNN_200, tmp_path, for_whom="a test")
