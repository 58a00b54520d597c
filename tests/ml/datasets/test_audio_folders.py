"""Training on anybody's own recordings."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import soundfile
from sounds import synthesize
from tiny_data import tiny_config

from groovemark.errors import AudioRejected, ConfigurationError, InputRejected
from groovemark.ml.datasets import AUDIO_READERS, Dataset
from groovemark.ml.features.sets import GTZAN_57
from groovemark.ml.models import registry
from groovemark.ml.train import train
from groovemark.ml.training.config import SearchConfig


@pytest.fixture(autouse=True)
def own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def write(path: Path, seed: int) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    soundfile.write(path, synthesize(("noise", "music")[seed % 2], 3.0 + seed / 10, sample_rate=22_050), 22_050)
    return path


def read(root: Path) -> Dataset:
    return AUDIO_READERS["audio-folders"](root, GTZAN_57)


def test_labels_are_folders_and_the_folders_within_them_artists(tmp_path: Path) -> None:
    root = tmp_path / "music"
    for number, name in enumerate(
        ("jazz/Ella/one.wav", "jazz/Ella/live/two.wav", "jazz/three.wav", "rock/four.wav", "rock/five.wav")
    ):
        write(root / name, number)
    shutil.copy(root / "rock" / "five.wav", root / "rock" / "again.WAV")
    write(root / ".trash" / "six.wav", 6)
    (root / "rock" / "cover.jpg").write_bytes(b"no audio")
    dataset = read(root)
    assert dataset.labels == ("jazz", "rock")
    groups = dict(zip(dataset.ids, dataset.groups.tolist(), strict=True))
    assert sorted(groups) == [
        "jazz/Ella/live/two.wav", "jazz/Ella/one.wav", "jazz/three.wav",
        "rock/again.WAV", "rock/five.wav", "rock/four.wav",
    ]  # fmt: skip
    assert groups["jazz/Ella/one.wav"] == groups["jazz/Ella/live/two.wav"]
    assert groups["rock/five.wav"] == groups["rock/again.WAV"]
    assert len(set(groups.values())) == 4
    assert [dataset.labels[target] for target in dataset.targets] == [name.split("/")[0] for name in dataset.ids]


def test_what_cannot_be_learned_from_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="no audio in folders that are labels"):
        read(tmp_path)
    write(tmp_path / "one.wav", 0)
    write(tmp_path / "jazz" / "one.wav", 1)
    with pytest.raises(InputRejected, match="lies in the one folder jazz; a label needs another one"):
        read(tmp_path)
    (tmp_path / "rock").mkdir()
    (tmp_path / "rock" / "broken.mp3").write_bytes(b"\xff\xfb" + bytes(100))
    with pytest.raises(AudioRejected, match=r"rock/broken\.mp3: "):
        read(tmp_path)


def test_a_model_is_trained_on_them(tmp_path: Path) -> None:
    for number in range(16):
        write(tmp_path / "music" / ("noise", "tones")[number % 2] / f"artist {number}" / "song.wav", number)
    config = tiny_config(
        "audio-folders", name="mine", family="forest", features="gtzan-57", settings={"trees": 4},
        search=SearchConfig(), variants=(), bag=1,
    )  # fmt: skip
    manifest = train(config, tmp_path / "music", tmp_path / "models" / "mine", command="test", report=lambda _: None)
    assert manifest.labels == ("noise", "tones")
    assert manifest.metrics["accuracy"] > 0.7
    assert "16 audio files in folders named as labels" in (tmp_path / "models" / "mine" / "1" / "CARD.md").read_text()
    assert registry.load(tmp_path / "models" / "mine" / "1").spec.features == GTZAN_57
    with pytest.raises(ConfigurationError, match="is missing; set GROOVEMARK_DATA to the folder of training data"):
        train(config, tmp_path / "nothing", tmp_path / "models" / "mine", command="test", report=lambda _: None)
