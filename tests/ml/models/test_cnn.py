from __future__ import annotations

import json
import pickle
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch
from safetensors.numpy import load_file, save_file
from sounds import SAMPLE_RATE, synthesize
from tiny_data import tiny_config

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.datasets import AUDIO_READERS, Dataset
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.sets import GTZAN_57, MFCC_SEGMENTS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.base import Classifier
from groovemark.ml.models.cnn.fit import Fitted, fit, make_plan
from groovemark.ml.models.cnn.load import load
from groovemark.ml.models.cnn.network import looped
from groovemark.ml.models.cnn.save import save
from groovemark.ml.models.cnn.settings import CnnSettings
from groovemark.ml.predict import predict_audio
from groovemark.ml.train import train
from groovemark.ml.training.augment import augmented, mixed
from groovemark.ml.training.config import SearchConfig

SETTINGS = {"channels": (4, 6), "pool": (4, 1), "epochs": 2, "batch_size": 8}


@pytest.fixture(scope="module")
def dataset(tiny_audio: Path) -> Dataset:
    return AUDIO_READERS["gtzan-audio"](tiny_audio, MFCC_SEGMENTS)


@pytest.fixture(scope="module")
def folder(tiny_audio: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The artifact of a whole training run."""
    config = tiny_config(
        "gtzan-audio",
        family="cnn",
        features="mfcc-segments",
        settings=SETTINGS,
        search=SearchConfig(),
        bag=1,
        variants=(),
    )
    folder = tmp_path_factory.mktemp("model") / config.name
    train(config, tiny_audio, folder, command="test", report=lambda _: None)
    return folder / config.version


@pytest.fixture(scope="module")
def model(folder: Path) -> Classifier:
    return registry.load(folder)


def fitted(dataset: Dataset, seed: int = 0, **changes: object) -> Fitted:
    rows = np.arange(len(dataset))
    folds = [(rows[rows % 2 == side], rows[rows % 2 != side]) for side in (0, 1)]
    plan = make_plan(settings={**SETTINGS, **changes}, ranges={}, trials=0, seeds=(seed,))
    return fit(dataset.table, dataset.targets, 3, folds, plan)


def test_card_and_manifest_tell_of_tracks_and_of_the_leaky_figure(folder: Path) -> None:
    card = (folder / "CARD.md").read_text()
    assert "| artist-filtered three folds | 18 |" in card
    assert "groups ignored (leaky)" in card
    assert "LightGBM" not in card
    assert len(json.loads((folder / "reference.json").read_text())["numbers"]) == 26


def test_answers_are_probabilities_even_far_outside_of_what_was_learned(model: Classifier, dataset: Dataset) -> None:
    numbers = dataset.table.numbers[:6].astype(np.float64)
    numbers[1:] *= np.array([[0], [1e6], [-1e6], [1e30], [1e38]])
    answers = model.run(FeatureTable(MFCC_SEGMENTS, np.clip(numbers, -3e38, 3e38).astype(np.float32)))
    assert (answers.shape, answers.dtype) == ((6, 3), np.float32)
    assert (answers >= 0).all()
    np.testing.assert_allclose(answers.sum(axis=1), 1, atol=1e-5)
    assert model.run(FeatureTable(MFCC_SEGMENTS, dataset.table.numbers[:0])).shape == (0, 3)


def test_a_window_scores_the_same_alone_and_among_others(model: Classifier, dataset: Dataset) -> None:
    windows = np.concatenate([dataset.table.numbers] * 4)  # more than one block of them
    together = model.run(FeatureTable(MFCC_SEGMENTS, windows))
    alone = [model.run(FeatureTable(MFCC_SEGMENTS, windows[row : row + 1]))[0] for row in range(10)]
    np.testing.assert_allclose(together[:10], alone, atol=1e-6)
    np.testing.assert_allclose(together[-len(dataset) :], together[: len(dataset)], atol=1e-6)


def test_rows_of_another_set_are_refused(model: Classifier) -> None:
    with pytest.raises(ModelRejected, match="takes mfcc-segments"):
        model.run(FeatureTable(GTZAN_57, np.zeros((1, 57))))


def test_audio_goes_through_to_an_answer_a_window(model: Classifier, tmp_path: Path) -> None:
    soundfile.write(tmp_path / "song.wav", synthesize("music", 6.5), SAMPLE_RATE)
    with FileExtractor.open("cpu") as extractor:
        (answers,) = predict_audio([NamedFile("song", tmp_path / "song.wav")], model, extractor)
    assert answers[0].segments.shape == (2, 3)
    np.testing.assert_allclose(answers[0].probabilities, answers[0].segments.mean(axis=0), atol=1e-6)


def test_the_same_seed_writes_the_same_bytes_and_another_seed_others(dataset: Dataset, tmp_path: Path) -> None:
    contents = []
    for number, seed in enumerate((0, 0, 1)):
        (tmp_path / str(number)).mkdir()
        names = save(tmp_path / str(number), [fitted(dataset, seed)])
        contents.append({name: (tmp_path / str(number) / name).read_bytes() for name in names})
    assert contents[0] == contents[1] != contents[2]


def test_networks_that_span_all_bands_are_written_and_read_as_well(dataset: Dataset, tmp_path: Path, model) -> None:
    one = fitted(dataset, across=True, pool=[2, 3])
    save(tmp_path, [one])
    answers = load(tmp_path, model.spec).run(dataset.table)
    np.testing.assert_allclose(answers, one.probabilities(dataset.table), atol=1e-6)


def test_the_scaling_knows_nothing_of_the_side_that_is_held_out(dataset: Dataset) -> None:
    numbers = dataset.table.numbers.copy()
    numbers[1::2] += 1000  # held out from the first network
    moved = replace(dataset, table=FeatureTable(MFCC_SEGMENTS, numbers))
    first, other = (fitted(one).member.networks[0] for one in (dataset, moved))
    assert torch.equal(first.mean, other.mean)
    assert torch.equal(first.deviation, other.deviation)
    expected = dataset.table.tensors[::2].mean(axis=(0, 1))
    np.testing.assert_allclose(first.mean, expected, rtol=1e-4, atol=1e-3)


def test_silence_at_the_end_is_filled_with_the_beginning() -> None:
    window = torch.arange(10.0).repeat(2, 1)[:, :, None].repeat(1, 1, 3)
    window[1, 4:] = -7.0
    filled = looped(window)
    assert torch.equal(filled[0], window[0])
    assert filled[1, :, 0].tolist() == [0, 1, 2, 3, 0, 1, 2, 3, 0, 1]
    silence = torch.zeros(1, 10, 3)
    assert torch.equal(looped(silence), silence)


def test_augmentation_masks_and_mixes_as_much_as_it_was_told_and_the_same_for_the_same_draws() -> None:
    windows = torch.rand(40, 20, 10) + 1
    settings = CnnSettings(masked=0.5, noise=0, gain=0)
    changed = augmented(windows, settings, torch.Generator().manual_seed(0))
    assert torch.equal(changed, augmented(windows, settings, torch.Generator().manual_seed(0)))
    masked = (changed == 0).float().mean(dim=(1, 2))
    assert 0 < masked.mean() < 0.6
    assert masked.max() <= 0.75
    plain = CnnSettings(masked=0, noise=0, gain=0, mixup=0)
    rolled = augmented(windows, plain, torch.Generator().manual_seed(0))
    torch.testing.assert_close(rolled.sum(dim=1).sort().values, windows.sum(dim=1).sort().values)
    shares = torch.eye(40)
    blended, answers = mixed(windows, shares, CnnSettings(mixup=0.5), torch.Generator().manual_seed(0))
    np.testing.assert_allclose(answers.sum(dim=1), 1, atol=1e-6)
    np.testing.assert_allclose(blended.flatten(1), answers @ windows.flatten(1), atol=1e-4)
    assert mixed(windows, shares, plain, torch.Generator())[0] is windows


def rewrite(name: str, change: Callable[[np.ndarray], np.ndarray]) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        path = folder / "member-0-network-0.safetensors"
        tensors = load_file(path)
        save_file({**tensors, name: change(tensors[name])}, path)

    return break_it


def settings_of(**changes: object) -> Callable[[Path], None]:
    def break_it(folder: Path) -> None:
        path = folder / "cnn.json"
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return break_it


def put(content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / "member-0-network-0.safetensors").write_bytes(content) and None


@pytest.mark.parametrize(
    ("break_it", "complaint"),
    [
        (put(pickle.dumps({"head.weight": [1]})), "cannot be read as safetensors"),
        (put(b"PK\x03\x04" + bytes(50)), "cannot be read as safetensors"),
        (put(bytes(2_000_000)), "too large"),
        (rewrite("head.weight", lambda array: array[:1]), "not float32 of the shape"),
        (rewrite("head.weight", lambda array: array.astype(np.float64)), "not float32 of the shape"),
        (rewrite("head.bias", lambda array: array * np.float32(np.nan)), "finite"),
        (rewrite("deviation", lambda array: array * 0), "must be positive"),
        (rewrite("norms.0.running_var", lambda array: -array - 1), "must be positive"),
        (settings_of(channels=[10**9]), "channels must be"),
        (settings_of(channels=[4, 6, 8]), "not float32 of the shape"),
        (settings_of(channels=[True]), "channels must be"),
        (settings_of(pool=[4, 20]), "leaves nothing"),
        (settings_of(across=1), "true or false"),
        (settings_of(members=[]), "members must be"),
        (settings_of(members=[{"temperature": 1.0, "networks": ["../../x"]}]), "unsafe"),
        (settings_of(members=[{"temperature": float("nan"), "networks": ["x"]}]), "temperature"),
    ],
)
def test_damaged_files_are_refused_saying_what_is_wrong(
    folder: Path, model: Classifier, tmp_path: Path, break_it: Callable[[Path], None], complaint: str
) -> None:
    shutil.copytree(folder, tmp_path / "copy")
    break_it(tmp_path / "copy")
    with pytest.raises(ModelRejected, match=complaint):
        load(tmp_path / "copy", model.spec)


def test_columns_and_searches_are_refused_before_anything_is_learned() -> None:
    table = FeatureTable(GTZAN_57, np.zeros((4, 57)))
    plan = make_plan(settings=SETTINGS, ranges={}, trials=0, seeds=(0,))
    with pytest.raises(ConfigurationError, match="frames and bands"):
        fit(table, np.zeros(4, np.int64), 2, [], plan)
    with pytest.raises(ConfigurationError, match="no search"):
        make_plan(settings={}, ranges={"dropout": (0.1, 0.5)}, trials=2, seeds=(0,))
    with pytest.raises(ConfigurationError, match="no setting 'layers'"):
        make_plan(settings={"layers": 3}, ranges={}, trials=0, seeds=(0,))
