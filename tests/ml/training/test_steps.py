"""The steps that are foretold are the steps that are gone."""

from __future__ import annotations

from pathlib import Path

import pytest
from tiny_data import tiny_config, write_tiny_audio, write_tiny_data

from groovemark.ml.train import measure_other, measure_protocols, read_dataset, train
from groovemark.ml.training import steps
from groovemark.ml.training.config import ProtocolConfig, SearchConfig, Variant


class Watcher:
    """Remembers every piece of work with its steps, and how many of them were done after each advance."""

    def __init__(self) -> None:
        self.works: dict[str, int] = {}
        self.done: list[int] = []

    def begin(self, work: str, steps: int) -> None:
        self.works[work], self.done = steps, [0]

    def advance(self, steps: int = 1) -> None:
        self.done.append(self.done[-1] + steps)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_audio(write_tiny_data(tmp_path_factory.mktemp("data") / "data"))


@pytest.mark.parametrize(
    ("dataset", "ship", "trials", "foretold"),
    [
        # Seeds, folds, and settings tried and fitted; without search; base and variants; what ships.
        ("fma", "all", 2, 2 * 2 * 3 + 2 * 2 + 2 * (1 + 1 + 2) + 3),
        # Published: three folds and one split.
        ("gtzan", "folds", 0, 2 * (3 + 1) + 2 * 3 + 3 * (1 + 1 + 2)),
    ],
)
def test_training_goes_as_many_steps_as_it_foretold(
    root: Path, tmp_path: Path, dataset: str, ship: str, trials: int, foretold: int
) -> None:
    config = tiny_config(
        dataset,
        ship=ship,
        protocol=ProtocolConfig(seeds=(0, 1), folds=2, inner_folds=2),
        search=SearchConfig(trials=trials, ranges={"leaves": (2, 4)}),
        variants=(Variant("two leaves", {"leaves": 2}), Variant("search", trials=1)),
    )
    watcher, lines = Watcher(), []
    train(config, root, tmp_path, command="test", report=lines.append, progress=watcher)
    assert watcher.works == {f"training tiny-{dataset}": foretold}
    assert watcher.done[-1] == foretold
    assert len(watcher.done) - 1 == sum(", round " in line for line in lines) + (ship == "all")


def test_evaluation_goes_as_many_steps_as_it_foretold(root: Path) -> None:
    config = tiny_config("gtzan")
    dataset = read_dataset(config, root, root)
    for headline_only in (True, False):
        watcher = Watcher()
        watcher.begin("evaluating", steps.of_protocols(config, dataset, headline_only=headline_only))
        measure_protocols(config, dataset, lambda _: None, headline_only=headline_only, progress=watcher)
        assert watcher.done[-1] == watcher.works["evaluating"] > 0
    for name in dataset.splits:
        watcher = Watcher()
        watcher.begin("the other", steps.of_protocol(config, dataset, name))
        measure_other(config, dataset, name, 0, lambda _: None, progress=watcher)
        assert watcher.done[-1] == watcher.works["the other"] > 0


def test_reading_audio_goes_a_step_a_file(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    watcher = Watcher()
    dataset = read_dataset(tiny_config("gtzan-segments", features="gtzan-57"), root, root, progress=watcher)
    assert watcher.works == {"gtzan-57 of files": dataset.n_tracks}
    assert watcher.done == [*range(dataset.n_tracks + 1)]
