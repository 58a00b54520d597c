"""Checkpoints of HuBERT, wav2vec 2.0 and WavLM: what they become, and what is refused."""

from __future__ import annotations

import json
import pickle
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from sounds import synthesize
from waveform_checkpoints import LABELS, LARGE, MODEL_TYPES, original_scores, save_checkpoint

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.sets import WAVEFORM_10S
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.importing import import_checkpoint
from tests.bomb import Bomb

POSITIONS = "encoder.pos_conv_embed.conv"


@pytest.fixture(autouse=True)
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def windows() -> np.ndarray:
    """Music, quiet noise, a sweep with an offset, and silence."""
    sounds = [synthesize(kind, 10.0, sample_rate=16_000) for kind in ("music", "noise", "sweep")]
    return np.stack([sounds[0], 0.1 * sounds[1], sounds[2] + 0.3, np.zeros_like(sounds[0])])


@pytest.fixture(scope="module", params=MODEL_TYPES)
def original(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint") / "it", request.param)


@pytest.fixture
def copy(tmp_path: Path, small: Path) -> Path:
    return Path(shutil.copytree(small, tmp_path / "copy"))


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of one architecture, for what does not depend on it."""
    return save_checkpoint(tmp_path_factory.mktemp("checkpoint") / "it", "hubert")


def answers(folder: Path, windows: np.ndarray) -> np.ndarray:
    return registry.load(folder).run(FeatureTable.of_windows(WAVEFORM_10S, windows))


def edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def change_tensors(folder: Path, change: Callable[[dict[str, torch.Tensor]], object]) -> None:
    path = folder / "model.safetensors"
    tensors = load_file(path)
    change(tensors)
    save_file(tensors, path)


def test_an_imported_checkpoint_answers_as_the_library_does_with_its_labels_in_order(
    original: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    for _ in range(2):  # a second import replaces the first
        manifest = import_checkpoint(tmp_path, str(original), name="bought")
    assert (manifest.family, manifest.features, manifest.labels) == ("waveform", "waveform-10s", LABELS)
    expected = original_scores(original, windows).softmax(dim=1).numpy()
    assert expected.std(axis=0).max() > 0.01
    np.testing.assert_allclose(answers(tmp_path / "bought" / "1", windows), expected, atol=1e-5)


@pytest.mark.parametrize("model_type", MODEL_TYPES)
@pytest.mark.parametrize("do_normalize", [True, False])
def test_windows_are_normalised_where_the_extractor_says_so_and_nowhere_else(
    model_type: str, do_normalize: bool, windows: np.ndarray, tmp_path: Path
) -> None:
    folder = save_checkpoint(tmp_path / "checkpoint", model_type, do_normalize=do_normalize, **LARGE)
    import_checkpoint(tmp_path, str(folder), name="bought")
    found = answers(tmp_path / "bought" / "1", windows)
    np.testing.assert_allclose(found, original_scores(folder, windows).softmax(dim=1), atol=1e-5)
    edit(folder / "preprocessor_config.json", do_normalize=not do_normalize)
    assert np.abs(found - original_scores(folder, windows).softmax(dim=1).numpy()).max() > 1e-3


def test_what_is_written_is_a_checkpoint_that_the_library_reads_with_the_same_answers(
    original: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    import_checkpoint(tmp_path, str(original), name="bought")
    scores = [original_scores(folder, windows[:1]) for folder in (original, tmp_path / "bought" / "1")]
    np.testing.assert_allclose(*scores, atol=1e-5)


def test_the_card_says_what_was_imported(original: Path, tmp_path: Path) -> None:
    title = import_checkpoint(tmp_path, str(original), name="bought").title.partition(",")[0]
    card = (tmp_path / "bought" / "1" / "CARD.md").read_text()
    assert card.startswith(f"# bought (version 1)\n\n{title} (")
    assert "windows of 10 s of samples at 16 kHz, scaled to a mean of 0 and a variance of 1" in card
    assert "Labels: Blues, Jazz, Techno." in card


def test_weights_saved_before_torch_2_under_other_names_are_the_same_network(
    original: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    old = Path(shutil.copytree(original, tmp_path / "old"))

    def rename(tensors: dict[str, torch.Tensor]) -> None:
        for new, name in (("original0", "weight_g"), ("original1", "weight_v")):
            (found,) = (one for one in tensors if one.endswith(f"{POSITIONS}.parametrizations.weight.{new}"))
            tensors[found.replace(f"parametrizations.weight.{new}", name)] = tensors.pop(found)
        (mask,) = (one for one in tensors if one.endswith("masked_spec_embed"))
        del tensors[mask]  # which not every checkpoint has

    change_tensors(old, rename)
    import_checkpoint(tmp_path, str(original), name="new")
    import_checkpoint(tmp_path, str(old), name="old")
    assert (
        load_file(tmp_path / "new/1/model.safetensors").keys() == load_file(tmp_path / "old/1/model.safetensors").keys()
    )
    new, old_answers = (answers(tmp_path / name / "1", windows) for name in ("new", "old"))
    assert new.tobytes() == old_answers.tobytes()


@pytest.mark.parametrize("kind", [torch.float16, torch.bfloat16])
def test_weights_of_half_the_size_are_read(copy: Path, small: Path, windows: np.ndarray, tmp_path: Path, kind) -> None:
    change_tensors(copy, lambda tensors: tensors.update({name: one.to(kind) for name, one in tensors.items()}))
    import_checkpoint(tmp_path, str(copy), name="half")
    import_checkpoint(tmp_path, str(small), name="whole")
    half, whole = (answers(tmp_path / name / "1", windows) for name in ("half", "whole"))
    np.testing.assert_allclose(half, whole, atol=0.05)


def test_labels_that_do_not_exclude_each_other_have_probabilities_of_their_own(
    copy: Path, windows: np.ndarray, tmp_path: Path
) -> None:
    edit(copy / "config.json", problem_type="multi_label_classification")
    manifest = import_checkpoint(tmp_path, str(copy), name="tags")
    assert (manifest.is_multi_label, manifest.task) == (True, "tags")
    np.testing.assert_allclose(
        answers(tmp_path / "tags" / "1", windows), original_scores(copy, windows).sigmoid(), atol=1e-5
    )


def test_eight_bits_are_refused_and_leave_nothing(small: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"HuBERT cannot answer in int8; choose one of fp32, bf16"):
        import_checkpoint(tmp_path / "models", str(small), name="small", precision="int8")
    assert not (tmp_path / "models").exists()


def _only_a_pickle(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "pytorch_model.bin").write_bytes(pickle.dumps(Bomb(folder / "went-off")))


def _a_pickle_as(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes(pickle.dumps(Bomb(folder / "went-off")))


def _tensors(change: Callable[[dict[str, torch.Tensor]], object]) -> Callable[[Path], None]:
    return lambda folder: change_tensors(folder, change)


def _config(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "config.json", **changes)


def _extractor(**changes: object) -> Callable[[Path], None]:
    return lambda folder: edit(folder / "preprocessor_config.json", **changes)


LENGTHS = f"hubert.{POSITIONS}.parametrizations.weight.original0"


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (_only_a_pickle, "pickles above all, are never read"),
        (_a_pickle_as("model.safetensors"), "cannot be read as safetensors"),
        (_a_pickle_as("config.json"), "cannot be read as JSON"),
        (_a_pickle_as("preprocessor_config.json"), "cannot be read as JSON"),
        (_tensors(lambda tensors: tensors["classifier.bias"].fill_(torch.nan)), "not a finite number"),
        (_tensors(lambda tensors: tensors[LENGTHS].fill_(torch.inf)), "not a finite number"),
        (_tensors(lambda tensors: tensors.pop("projector.bias")), "'projector.bias' is not of config.json's network"),
        (_tensors(lambda tensors: tensors.update(more=torch.zeros(1))), "'more' is not of config.json's network"),
        (_tensors(lambda tensors: tensors.update({"projector.bias": torch.zeros(13)})), "is not of config.json's"),
        (
            _tensors(lambda tensors: tensors.update({f"hubert.{POSITIONS}.weight_g": tensors[LENGTHS].clone()})),
            "weight_g' is not of config.json's network",  # nor original0, which it has as well
        ),
        (
            _tensors(lambda tensors: tensors.update({"classifier.bias": torch.zeros(3, dtype=torch.int64)})),
            "must be one of F32, F16, BF16",
        ),
        (_config(auto_map={"AutoModel": "evil.Model"}), r"bring code along \('auto_map'\)"),
        (_config(trust_remote_code=True), "bring code along"),
        (_config(architectures=["HubertForCTC"]), r"supported are ASTForAudioClassification, HubertForSequence"),
        (_config(architectures=["WavLMForSequenceClassification"]), "not HubertForSequenceClassification of the type"),
        (_config(model_type="wav2vec2-bert"), "of the type wav2vec2-bert, not hubert, wav2vec2, wavlm"),
        (_config(model_type={}), "is of the type {}"),
        (_config(hidden_act="relu"), "hidden_act cannot be relu"),
        (_config(add_adapter=True), "add_adapter cannot be True"),
        (_config(adapter_attn_dim=16), "adapter_attn_dim cannot be 16"),
        (_config(conv_pos_batch_norm=True), "conv_pos_batch_norm cannot be True"),
        (_config(feat_extract_norm="none"), "feat_extract_norm cannot be none"),
        (_config(feat_extract_norm=["group"]), "feat_extract_norm cannot be"),
        (_config(do_stable_layer_norm=1), "do_stable_layer_norm cannot be 1"),
        (_config(layer_norm_eps=float("nan")), "layer_norm_eps cannot be nan"),
        (_config(hidden_size=10**9), "hidden_size cannot be 1000000000"),
        (_config(num_hidden_layers=65), "num_hidden_layers cannot be 65"),
        (_config(num_hidden_layers=10**12), "num_hidden_layers cannot be"),
        (_config(num_attention_heads=True), "num_attention_heads cannot be True"),
        (_config(num_attention_heads=3), "num_attention_heads must divide hidden_size"),
        (_config(hidden_size=2048, num_hidden_layers=24), "more than 400,000,000 parameters"),
        (_config(classifier_proj_size=10**6), "classifier_proj_size cannot be"),
        (_config(conv_dim=[8] * 17), "conv_dim cannot be"),
        (_config(conv_dim=[8, 8]), "must have one entry a layer"),
        (_config(conv_dim=8), "conv_dim cannot be 8"),
        (_config(conv_dim=[8, 8, 0]), "conv_dim cannot be"),
        (_config(conv_dim=[4096, 4096, 8], conv_stride=[5, 2, 100]), "more than 33,554,432 numbers"),
        (_config(conv_stride=[5, 2, 2]), "10 s become 7977 frames; 1 to 1000 can be"),
        (_config(conv_stride=[1024, 1024, 2]), "10 s become 0 frames"),
        (_config(num_hidden_layers=1), "is not of config.json's network"),
        (_config(id2label={"0": "a", "1": "a", "2": "b"}), "two labels have the same name"),
        (_config(id2label={str(place): str(place) for place in range(10_001)}), "must name 2 to 10000 labels"),
        (_extractor(sampling_rate=44_100), "sampling_rate is 44100, it must be 16000"),
        (_extractor(feature_size=2), "feature_size is 2, it must be 1"),
        (_extractor(do_normalize="yes"), "do_normalize cannot be yes"),
        (lambda folder: (folder / "preprocessor_config.json").unlink(), "says whether windows are normalised"),
        (lambda folder: (folder / "config.json").write_text("[]"), "config.json must be an object"),
    ],
)
def test_what_is_refused_leaves_nothing_and_runs_nothing(
    copy: Path, tmp_path: Path, spoil: Callable[[Path], object], message: str
) -> None:
    (copy / "evil.py").write_text(f"open({str(copy / 'went-off')!r}, 'w')")
    spoil(copy)
    with pytest.raises(ModelRejected, match=message):
        import_checkpoint(tmp_path / "models", str(copy), name="bad")
    assert not (tmp_path / "models").exists()
    assert not (copy / "went-off").exists()


@pytest.mark.parametrize(
    "changes", [{"num_buckets": 3}, {"num_buckets": 320, "max_bucket_distance": 80}, {"num_buckets": 10**6}]
)
def test_distances_that_no_logarithm_spreads_are_refused(tmp_path: Path, changes: dict[str, int]) -> None:
    folder = save_checkpoint(tmp_path / "checkpoint", "wavlm")
    edit(folder / "config.json", **changes)
    with pytest.raises(ModelRejected, match="num_buckets"):
        import_checkpoint(tmp_path, str(folder), name="bad")


WATCHED = """
import sys
from pathlib import Path
import numpy as np
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry

checkpoint, models = sys.argv[1:]
opened, asked = set(), []

def watch(event, arguments):
    if event in ("socket.connect", "socket.getaddrinfo"):
        asked.append(arguments)
    if event == "open" and checkpoint in str(arguments[0]):
        opened.add(Path(arguments[0]).name)

sys.addaudithook(watch)
model = registry.load(Path(models) / "bought" / "1")
print("transformers" in sys.modules)
spec = model.spec.features
model.run(FeatureTable(spec, np.zeros((1, *spec.shape), np.float32)))
print("transformers" in sys.modules)

from groovemark.ml.models.importing import import_checkpoint

import_checkpoint(Path(models), checkpoint, name="again")
print(sorted(opened), asked)
"""


def test_neither_importing_nor_loading_asks_the_network_or_opens_another_file_and_the_library_comes_with_the_first_rows(
    copy: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_checkpoint(tmp_path / "models", str(copy), name="bought")
    for name in ("generation_config.json", "adapter_config.json", "vocab.json"):
        (copy / name).write_text('{"auto_map": {"AutoModel": "evil.Model"}}')
    monkeypatch.delenv("HF_HUB_OFFLINE")
    command = [sys.executable, "-c", WATCHED, str(copy), str(tmp_path / "models")]
    lines = subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()
    # The weights are opened by safetensors, which no hook sees.
    assert lines == ["False", "True", "['config.json', 'preprocessor_config.json'] []"]
