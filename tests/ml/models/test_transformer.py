from __future__ import annotations

import json
import shutil
import subprocess
import sys
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from tiny_data import tiny_config

from groovemark.errors import ConfigurationError, ModelRejected, ModelUnavailable
from groovemark.ml.datasets import AUDIO_READERS, Dataset
from groovemark.ml.features.sets import AST_FBANK_3S, GTZAN_57
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import later, registry
from groovemark.ml.models.artifact import describe_files, read_manifest, write_manifest
from groovemark.ml.models.base import Classifier
from groovemark.ml.models.transformer.classifier import TransformerClassifier
from groovemark.ml.models.transformer.fit import Fitted, fit, make_plan
from groovemark.ml.models.transformer.load import load, read_base
from groovemark.ml.models.transformer.save import save
from groovemark.ml.train import train
from groovemark.ml.training.config import SearchConfig, Variant, read_config

SETTINGS = {
    "hidden_size": 16,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 32,
    "patch_size": 64,
    "frequency_stride": 64,
    "time_stride": 64,
    "epochs": 2,
    "batch_size": 8,
}


@pytest.fixture(scope="module")
def dataset(tiny_audio: Path) -> Dataset:
    return AUDIO_READERS["gtzan-audio"](tiny_audio, AST_FBANK_3S)


@pytest.fixture(scope="module")
def folder(tiny_audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a whole training run."""
    config = tiny_config(
        "gtzan-audio",
        family="transformer",
        features="ast-fbank-3s",
        settings={**SETTINGS, "temperature": 1.5},
        search=SearchConfig(),
        bag=1,
        variants=(Variant("int8", {"precision": "int8"}),),
    )
    folder = tmp_path_factory.mktemp("model") / config.name
    train(config, tiny_audio, folder, command="test", report=lambda _: None)
    return folder / config.version


@pytest.fixture(scope="module")
def model(folder: Path) -> Classifier:
    return registry.load(folder)


def fitted(dataset: Dataset, seed: int = 0, report=lambda _: None, **changes: object) -> Fitted:
    rows = np.arange(len(dataset))
    folds = [(rows[rows % 2 == side], rows[rows % 2 != side]) for side in (0, 1)]
    plan = make_plan(settings={**SETTINGS, **changes}, ranges={}, trials=0, seeds=(seed,))
    return fit(dataset.table, dataset.targets, 3, folds, plan, report=report)


def weights_of(one: Fitted) -> dict[str, torch.Tensor]:
    return one.member.networks[0].state_dict()


def test_a_training_run_gives_one_network_that_hugging_face_could_read_and_a_card_with_a_row_a_precision(
    folder: Path,
) -> None:
    assert {path.name for path in folder.iterdir()} == {
        "CARD.md", "config.json", "manifest.json", "model.safetensors", "reference.json", "transformer.json",
    }  # fmt: skip
    assert json.loads((folder / "config.json").read_text())["architectures"] == ["ASTForAudioClassification"]
    card = (folder / "CARD.md").read_text()
    assert "| int8 |" in card
    assert "groups ignored (leaky)" in card


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_answers_are_probabilities_even_far_outside_of_what_was_learned(
    folder: Path, model: Classifier, dataset: Dataset, precision
) -> None:
    model = load(folder, model.spec, precision=precision)
    numbers = dataset.table.numbers[:6].astype(np.float64)
    numbers[1:] *= np.array([[0], [1e6], [-1e6], [1e30], [1e38]])
    answers = model.run(FeatureTable(AST_FBANK_3S, np.clip(numbers, -3e38, 3e38).astype(np.float32)))
    assert (answers.shape, answers.dtype) == ((6, 3), np.float32)
    assert (answers >= 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert model.run(FeatureTable(AST_FBANK_3S, dataset.table.numbers[:0])).shape == (0, 3)


def test_torch_is_imported_with_the_first_rows_and_not_before(folder: Path) -> None:
    script = """
import sys
import numpy as np
from pathlib import Path
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import later, registry
registry.load(Path(sys.argv[1]))
print("torch" in sys.modules)
"""
    command = [sys.executable, "-c", script, str(folder)]
    assert subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip() == "False"


def test_a_model_whose_library_is_missing_is_unavailable_and_not_broken(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(later, "find_spec", lambda name: None if name == "safetensors" else find_spec(name))
    with pytest.raises(ModelUnavailable, match=r"tiny-gtzan-audio@1 needs safetensors: pip install '\.\[torch\]'"):
        registry.load(folder)


def test_rows_of_another_set_are_refused_and_so_is_work_after_the_end(folder: Path, dataset: Dataset) -> None:
    model = registry.load(folder)
    with pytest.raises(ModelRejected, match="takes ast-fbank-3s"):
        model.run(FeatureTable(GTZAN_57, np.zeros((1, 57))))
    model.close()
    with pytest.raises(RuntimeError, match="closed"):
        model.run(dataset.table)


@pytest.mark.parametrize("precision", ["fp32", "bf16", "int8"])
def test_a_window_scores_the_same_alone_and_among_others_and_nearly_the_same_in_every_precision(
    folder: Path, model: Classifier, dataset: Dataset, precision
) -> None:
    own: TransformerClassifier = load(folder, model.spec, precision=precision)
    together = own.run(dataset.table)
    alone = own.run(dataset.take(np.array([3])).table)[0]
    np.testing.assert_allclose(together[3], alone, atol=1e-6)
    np.testing.assert_allclose(together, model.run(dataset.table), atol=1e-7 if precision == "fp32" else 0.02)
    assert precision == "fp32" or (together != model.run(dataset.table)).any()


def test_a_temperature_may_be_a_whole_number(dataset: Dataset, tmp_path: Path) -> None:
    """It was written as one, and the artifact could never be loaded."""
    save(tmp_path, [fitted(dataset, temperature=2)])
    assert type(json.loads((tmp_path / "transformer.json").read_text())["members"][0]["temperature"]) is float


def test_a_model_in_int8_is_unavailable_where_openvino_is_missing_and_not_broken(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Workers offered it, and every batch failed."""
    copy = Path(shutil.copytree(folder, tmp_path / "copy"))
    _edit(copy / "transformer.json", precision="int8")
    manifest = read_manifest(copy)
    write_manifest(copy, replace(manifest, files=describe_files(copy, manifest.files)))
    registry.load(copy).close()
    monkeypatch.setattr(later, "find_spec", lambda name: None if name == "openvino" else find_spec(name))
    with pytest.raises(ModelUnavailable, match=r"tiny-gtzan-audio@1 needs openvino: pip install '\.\[openvino\]'"):
        registry.load(copy)


def test_a_variant_that_cannot_be_is_refused_before_anything_is_taught(tiny_audio: Path, tmp_path: Path) -> None:
    """It was when all protocols had been gone through."""
    config = tiny_config(
        "gtzan-audio", family="transformer", features="ast-fbank-3s", settings=SETTINGS, search=SearchConfig(), bag=1,
        variants=(Variant("fp8", {"precision": "fp8"}),),
    )  # fmt: skip
    lines: list[str] = []
    with pytest.raises(ConfigurationError, match="precision must be one of"):
        train(config, tiny_audio, tmp_path / "tiny", command="test", report=lines.append)
    assert not [line for line in lines if "epoch" in line]


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(dataset: Dataset, tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        names = save(tmp_path / str(number), [fitted(dataset, seed)])
        contents.append({name: (tmp_path / str(number) / name).read_bytes() for name in names})
    assert contents[0] == contents[1] != contents[2]


def test_patience_stops_where_the_held_out_fold_is_answered_best(dataset: Dataset) -> None:
    one = fitted(dataset, epochs=12, patience=1, learning_rate=0.5)
    assert int(one.chosen["epochs"]) < 12


def test_the_network_of_all_rows_follows_the_learning_rate_under_which_the_number_of_epochs_was_chosen(
    dataset: Dataset, tmp_path: Path
) -> None:
    """The rate was squeezed into the epochs chosen: at their end it was 0, where it had hardly begun to fall."""
    changes = {"epochs": 12, "learning_rate": 0.5}
    chosen = fitted(dataset, patience=1, **changes)
    lines: list[str] = []

    def stop_where_it_was_chosen(line: str) -> None:
        lines.append(line)
        if len(lines) == int(chosen.chosen["epochs"]):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):  # no inner fold: all rows, as long as twelve epochs take
        fitted(dataset, report=stop_where_it_was_chosen, temperature=1.0, checkpoints=str(tmp_path), **changes)
    (path,) = tmp_path.iterdir()
    standing = load_file(path)
    for name, tensor in weights_of(chosen).items():
        if "patch_embeddings" not in name:  # into which the scaling of the windows goes at the end
            assert torch.equal(tensor, standing[f"module.{name}"]), name


def test_a_given_temperature_needs_no_inner_fold(dataset: Dataset) -> None:
    plan = make_plan(settings={**SETTINGS, "temperature": 2.0}, ranges={}, trials=0, seeds=(0,))
    lines: list[str] = []
    cool = fit(dataset.table, dataset.targets, 3, [], plan, report=lines.append)
    assert (len(lines), cool.chosen) == (2, {"epochs": "2", "temperature": 2.0})
    warm = fitted(dataset, temperature=0.25)
    assert (warm.probabilities(dataset.table).max(axis=1) > cool.probabilities(dataset.table).max(axis=1)).all()


def test_fine_tuning_starts_from_a_base_and_keeps_what_is_frozen(dataset: Dataset, folder: Path) -> None:
    one = fitted(dataset, base=str(folder), frozen=1, epochs=1, hidden_size=8)
    base, tuned = read_base(folder).state_dict(), weights_of(one)
    frozen = [name for name in base if ".embeddings." in name or ".layer.0." in name]
    assert len(frozen) > 10
    assert all(torch.equal(base[name], tuned[name]) for name in frozen)
    name = "audio_spectrogram_transformer.encoder.layer.1.output.dense.weight"
    distance = (base[name] - tuned[name]).norm() / base[name].norm()
    assert 0 < distance < 0.5, "it moved away from the base, and is not a network of its own"


def test_a_fine_tuned_model_says_whose_its_base_is_and_what_it_learned_from(
    tiny_audio: Path, folder: Path, tmp_path: Path
) -> None:
    """A model fine-tuned from one of AudioSet showed no trace of it, nor of its licence."""
    config = tiny_config(
        "gtzan-audio", name="tuned", family="transformer", features="ast-fbank-3s", base="tiny-gtzan-audio@1",
        settings={"base": str(folder), "frozen": 1, "epochs": 1, "temperature": 1.0},
        search=SearchConfig(), bag=1, variants=(), licence="of the tuned one",
    )  # fmt: skip
    manifest = train(config, tiny_audio, tmp_path / "tuned", command="test", report=lambda _: None)
    for text in (manifest.training_data, (tmp_path / "tuned" / "1" / "CARD.md").read_text()):
        assert "fine-tuned from tiny-gtzan-audio@1 (licence: MIT), which learned from: audio of GTZAN" in text


def test_training_that_was_killed_goes_on_to_the_same_bits(dataset: Dataset, folder: Path, tmp_path: Path) -> None:
    changes = {"base": str(folder), "frozen": 1, "epochs": 3}
    whole = fitted(dataset, **changes)
    lines: list[str] = []

    def kill_in_the_second_network(line: str) -> None:
        lines.append(line)
        if len(lines) == 4:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fitted(dataset, report=kill_in_the_second_network, checkpoints=str(tmp_path), **changes)
    lines.clear()
    resumed = fitted(dataset, report=lines.append, checkpoints=str(tmp_path), **changes)
    assert [line.partition(": ")[2][:12] for line in lines] == ["epoch 2 of 3", "epoch 3 of 3"]
    assert all(torch.equal(tensor, weights_of(resumed)[name]) for name, tensor in weights_of(whole).items())
    assert whole.chosen == resumed.chosen


def test_a_base_that_was_made_anew_is_not_taken_up_where_the_old_one_was_left(
    dataset: Dataset, folder: Path, tmp_path: Path
) -> None:
    """The checkpoint of the old base's training was found, done, and the new base never looked at."""
    base = tmp_path / "base"
    shutil.copytree(folder, base)
    changes = {"base": str(base), "epochs": 1, "checkpoints": str(tmp_path / "checkpoints")}
    (tmp_path / "checkpoints").mkdir()
    fitted(dataset, **changes)
    weights = load_file(base / "model.safetensors")
    save_file({name: 1.01 * tensor for name, tensor in weights.items()}, base / "model.safetensors", {"format": "pt"})
    manifest = read_manifest(base)
    write_manifest(base, replace(manifest, files=describe_files(base, manifest.files)))
    lines: list[str] = []
    fitted(dataset, report=lines.append, **changes)
    assert lines, "nothing was taught"


def test_a_configuration_names_its_base_by_name_and_version(tmp_path: Path) -> None:
    (tmp_path / "old" / "1").mkdir(parents=True)
    (tmp_path / "new").mkdir()
    text = (
        'name = "new"\nversion = "1"\ntitle = "t"\nfamily = "transformer"\ntask = "genre"\ncreated = "2026-01-01"\n'
        'licence = "MIT"\nship = "all"\nbag = 1\ndataset = "gtzan-segments"\nfeatures = "ast-fbank-3s"\n'
        'base = "old@1"\n[settings]\nfrozen = 1\n[protocol]\nseeds = [0]\n'
    )
    path = tmp_path / "new" / "train.toml"
    path.write_text(text)
    assert read_config(path).settings == {"frozen": 1, "base": str(tmp_path / "old" / "1")}
    path.write_text(text.replace("old@1", "old@2"))
    with pytest.raises(ConfigurationError, match="base must be the name@version of a model"):
        read_config(path)
    path.write_text(text.replace("frozen = 1", 'base = "old@1"'))
    with pytest.raises(ConfigurationError, match=r"base is an entry beside the family, and none of \[settings\]"):
        read_config(path)
    path.write_text(text.replace("bag = 1", "bag = 0"))
    with pytest.raises(ConfigurationError, match="bag must be 1 or more"):
        read_config(path)


def test_what_cannot_be_taught_is_refused_before_anything_is_learned(dataset: Dataset, tmp_path: Path) -> None:
    plan = make_plan(settings=SETTINGS, ranges={}, trials=0, seeds=(0,))
    with pytest.raises(ConfigurationError, match="frames and bands"):
        fit(FeatureTable(GTZAN_57, np.zeros((4, 57))), np.zeros(4, np.int64), 2, [], plan)
    with pytest.raises(ConfigurationError, match="no search"):
        make_plan(settings={}, ranges={"dropout": (0.1, 0.5)}, trials=2, seeds=(0,))
    for changes, message in (
        ({"layers": 3}, "no setting 'layers'"),
        ({"precision": "fp8"}, "precision must be one of fp32, bf16, int8"),
        ({"temperature": 0.001}, "a temperature must be from 0.01 to 100.0, or 0 to find it"),
        ({"epochs": 0}, "epochs must be 1 or more"),
        ({"frozen": 3}, "frozen must be at most 2: the network has no more blocks"),
        ({"hidden_size": 16.5}, "the setting hidden_size of transformer must be a whole number"),
        ({"patch_size": 200}, "patch_size"),
        ({"num_attention_heads": 3}, "must divide hidden_size"),
    ):
        with pytest.raises(ConfigurationError, match=message):
            fitted(dataset, **changes)
    with pytest.raises(ModelRejected, match=r"manifest\.json"):
        fitted(dataset, base=str(tmp_path))


def _edit(path: Path, **changes: object) -> None:
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


MEMBER = {"temperature": 1.0, "networks": ["model.safetensors"]}


@pytest.mark.parametrize(
    ("file", "changes", "message"),
    [
        ("transformer.json", {"precision": "fp64"}, "precision must be one of"),
        ("transformer.json", {"members": []}, "list of 1 to 64"),
        ("transformer.json", {"members": [{**MEMBER, "temperature": 0.0}]}, "temperature must be from"),
        ("transformer.json", {"members": [{**MEMBER, "temperature": None}]}, "temperature must be from"),
        ("transformer.json", {"members": [{**MEMBER, "networks": ["../x"]}]}, "unsafe file"),
        ("transformer.json", {"members": [{**MEMBER, "networks": ["CARD.md"]}]}, "cannot be read as safetensors"),
        ("config.json", {"auto_map": {"AutoConfig": "evil.Config"}}, "bring code along"),
        ("config.json", {"max_length": 1024}, "windows of"),
        ("config.json", {"num_hidden_layers": 60, "hidden_size": 4096}, "more than 400,000,000 parameters"),
    ],
)
def test_files_that_say_something_else_are_refused(
    folder: Path, model: Classifier, tmp_path: Path, file: str, changes: dict[str, object], message: str
) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    _edit(tmp_path / file, **changes)
    with pytest.raises(ModelRejected, match=message):
        load(tmp_path, model.spec)
