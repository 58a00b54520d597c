"""Networks on waveforms, fine-tuned."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from sounds import synthesize
from tiny_data import tiny_config
from waveform_checkpoints import LARGE, MODEL_TYPES, import_small, original_scores

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.sets import AST_FBANK_3S, WAVEFORM_10S
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.waveform.fit import Fitted, fit, make_plan
from groovemark.ml.models.waveform.load import load, read_base
from groovemark.ml.models.waveform.network import freeze
from groovemark.ml.models.waveform.save import save
from groovemark.ml.train import train
from groovemark.ml.training.config import SearchConfig

WRONG = [
    ({"temperature": -1.0}, "a temperature must be from 0.01 to 100.0, or 0 to find it"),
    ({"temperature": float("nan")}, "the setting temperature of waveform must be a number"),
    ({"temperature": "1"}, "the setting temperature of waveform must be a number"),
    ({"frozen": -1}, "frozen must be 0 or more"),
    ({"frozen": True}, "the setting frozen of waveform must be a whole number"),
    ({"epochs": 0}, "epochs must be 1 or more"),
    ({"patience": -1}, "patience must be 0 or more"),
    ({"batch_size": 0}, "batch_size must be 1 or more"),
    ({"learning_rate": "5e-5"}, "the setting learning_rate of waveform must be a number"),
    ({"learning_rate": 0}, "learning_rate must be above 0"),
]
TARGETS = np.arange(12) % 2
UNNAMED = ("LABEL_0", "LABEL_1")
"""As the library calls what an artifact's config does not name."""
HALVES = [(np.arange(6), np.arange(6, 12)), (np.arange(6, 12), np.arange(6))]


@pytest.fixture(scope="module")
def table() -> FeatureTable:
    """Noise and sweeps in turn."""
    generator = np.random.default_rng(0)
    rows = [synthesize(("noise", "sweep")[target], 10.0, sample_rate=16_000) for target in TARGETS]
    return FeatureTable.of_windows(WAVEFORM_10S, np.stack(rows) + 0.01 * generator.normal(size=(12, 160_000)))


def fitted(base: Path, table: FeatureTable, report=lambda _: None, **settings: object) -> Fitted:
    given = {"base": str(base), "epochs": 1, "batch_size": 4, "temperature": 1.0, **settings}
    return fit(table, TARGETS, 2, HALVES, make_plan(settings=given, ranges={}, trials=0, seeds=(0,)), report=report)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("changes", [{}, {**LARGE, "do_normalize": False}], ids=["base", "large"])
def test_what_is_saved_answers_as_what_was_taught_here_and_in_the_library(
    model_type: str, changes: dict[str, object], table: FeatureTable, tmp_path: Path
) -> None:
    """Blocks left out by chance, as the library does in training, were missing in a weighted sum over all blocks."""
    base = import_small(tmp_path, model_type, **changes)
    one = fitted(base, table, temperature=0.0)
    (tmp_path / "tuned").mkdir()
    assert set(save(tmp_path / "tuned", [one])) == {path.name for path in (tmp_path / "tuned").iterdir()}
    expected = one.probabilities(table)
    spec = ModelSpec("tuned", "1", "waveform", "genre", WAVEFORM_10S, ("noise", "sweep"))
    np.testing.assert_allclose(load(tmp_path / "tuned", spec).run(table), expected, atol=1e-6)
    np.testing.assert_allclose(
        original_scores(tmp_path / "tuned", table.tensors, UNNAMED).softmax(dim=1), expected, atol=1e-5
    )


def test_it_learns_to_tell_what_it_is_taught(table: FeatureTable, tmp_path: Path) -> None:
    base = import_small(tmp_path, "hubert", **LARGE)
    one = fitted(base, table, epochs=16, learning_rate=0.01, noise=0.0)
    assert (one.probabilities(table).argmax(axis=1) == TARGETS).all()


@pytest.mark.parametrize("frozen", [0, 1])
def test_what_is_frozen_stays_as_the_base_has_it_and_all_else_moves(
    frozen: int, table: FeatureTable, tmp_path: Path
) -> None:
    base = import_small(tmp_path, "hubert")
    before, after = (
        load_file(base / "model.safetensors"),
        fitted(base, table, frozen=frozen).network.network.state_dict(),
    )
    always = ("hubert.feature_extractor.", "hubert.feature_projection.")
    before_it = ("hubert.encoder.pos_conv_embed.", "hubert.encoder.layer_norm.", "hubert.encoder.layers.0.")
    kept = (*always, *before_it) if frozen else always
    assert set(before) == set(after)
    for name, tensor in before.items():
        if not name.startswith("classifier."):
            assert torch.equal(tensor, after[name]) == name.startswith(kept), name


@pytest.mark.parametrize("changes", [{}, LARGE], ids=["base", "large"])
@pytest.mark.parametrize("model_type", MODEL_TYPES)
def test_nothing_goes_back_through_frozen_blocks(
    model_type: str, changes: dict[str, object], table: FeatureTable, tmp_path: Path
) -> None:
    """The norm before the first block was taught, and gradients went through every block to reach it."""
    loaded = read_base(import_small(tmp_path, model_type, **changes))
    freeze(loaded.network, 1)
    heard: list[torch.Tensor] = []
    block = loaded.network.base_model.encoder.layers[0]
    block.register_forward_hook(lambda _module, _inputs, outputs: heard.append(outputs[0]))
    loaded.network.train()(torch.from_numpy(table.tensors[:1]))
    assert not heard[0].requires_grad


def test_training_on_windows_as_they_are_does_not_go_on_from_one_on_windows_that_are_normalised(
    table: FeatureTable, tmp_path: Path
) -> None:
    """A checkpoint of the base before it was corrected was taken up, done, and nothing was taught."""
    lines: list[str] = []
    for number, do_normalize in enumerate((True, False)):
        (tmp_path / str(number)).mkdir()
        base = import_small(tmp_path / str(number), "hubert", do_normalize=do_normalize)
        fitted(base, table, lines.append, checkpoints=str(tmp_path))
    assert len(lines) == 2


def test_patience_stops_where_the_held_out_fold_is_answered_best(table: FeatureTable, tmp_path: Path) -> None:
    base = import_small(tmp_path, "wav2vec2")
    lines: list[str] = []
    one = fitted(base, table, lines.append, epochs=8, patience=1, learning_rate=0.3, temperature=0.0)
    assert int(one.chosen["epochs"]) < 8
    assert len(lines) < 16
    assert (one.held.rows.tolist(), one.held.answers.shape) == (list(range(6, 12)), (6, 2))


def test_the_temperature_goes_into_the_head(table: FeatureTable, tmp_path: Path) -> None:
    base = import_small(tmp_path, "hubert")
    cool, warm = (fitted(base, table, temperature=temperature).probabilities(table) for temperature in (1.0, 0.01))
    powers = cool**100
    np.testing.assert_allclose(warm, powers / powers.sum(axis=1, keepdims=True), atol=1e-3)


def test_a_whole_training_says_whose_the_base_is(tiny_audio: Path, tmp_path: Path) -> None:
    base = import_small(tmp_path, "hubert")
    config = tiny_config(
        "gtzan-audio", name="tuned", family="waveform", features="waveform-10s", base="heard@1",
        settings={"base": str(base), "epochs": 1, "precision": "bf16"}, search=SearchConfig(), bag=1, variants=(),
    )  # fmt: skip
    manifest = train(config, tiny_audio, tmp_path / "tuned", command="test", report=lambda _: None)
    assert "fine-tuned from heard@1 (licence: that of the checkpoint's authors" in manifest.training_data
    assert json.loads((tmp_path / "tuned" / "1" / "waveform.json").read_text()) == {"precision": "bf16"}
    model = registry.load(tmp_path / "tuned" / "1")
    assert model.run(FeatureTable.of_windows(WAVEFORM_10S, np.zeros((1, 160_000)))).shape == (1, len(manifest.labels))


def test_what_cannot_be_taught_is_refused_before_anything_is_learned(tiny_audio: Path, tmp_path: Path) -> None:
    base = import_small(tmp_path, "hubert")
    for settings, seeds, message in (
        ({}, (0,), "is fine-tuned: name a model beside the family"),
        *(({"base": str(base), **wrong}, (0,), message) for wrong, message in WRONG),
        ({"base": str(base)}, (0, 1), "one network: set bag = 1"),
        ({"base": str(base), "precision": "int8"}, (0,), "precision must be one of fp32, bf16"),
        ({"base": str(base), "hidden_size": 3}, (0,), "no setting 'hidden_size'"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            make_plan(settings=settings, ranges={}, trials=0, seeds=seeds)
    with pytest.raises(ConfigurationError, match="no search"):
        make_plan(settings={"base": str(base)}, ranges={"noise": (0.1, 0.5)}, trials=2, seeds=(0,))
    with pytest.raises(ConfigurationError, match="takes waveform-10s, not ast-fbank-3s"):
        fitted(base, FeatureTable.of_windows(AST_FBANK_3S, np.zeros((12, *AST_FBANK_3S.shape))))
    with pytest.raises(ConfigurationError, match="frozen must be at most 2"):
        fitted(base, FeatureTable.of_windows(WAVEFORM_10S, np.zeros((12, 160_000))), frozen=3)
    with pytest.raises(ModelRejected, match=r"manifest\.json"):
        fitted(tmp_path, FeatureTable.of_windows(WAVEFORM_10S, np.zeros((12, 160_000))))
    config = tiny_config(
        "gtzan-audio", family="waveform", features="waveform-10s", ship="folds", bag=1, settings={"base": str(base)}
    )
    with pytest.raises(ConfigurationError, match="holds one network: set ship = 'all'"):
        train(config, tiny_audio, tmp_path / "tuned", command="test", report=lambda _: None)
