from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_data import tiny_config, write_tiny_data

from groovemark.errors import ConfigurationError
from groovemark.ml.datasets import READERS
from groovemark.ml.train import train
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.config import ProtocolConfig, SearchConfig, read_config
from groovemark.ml.training.protocol import careless_rounds, final_round, honest_rounds, protocol_names
from groovemark.ml.training.search import search

CONFIGS = sorted((Path(__file__).parents[3] / "model").glob("*/train.toml"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("data") / "data")


@pytest.mark.parametrize("name", READERS)
def test_no_group_stands_on_both_sides_of_any_honest_round(root: Path, name: str) -> None:
    check_rounds(root, name, ProtocolConfig(seeds=(0,), folds=3, inner_folds=2))


@pytest.mark.parametrize("name", READERS)
def test_no_group_of_the_real_data_stands_on_both_sides(data_folder: Path, name: str) -> None:
    check_rounds(data_folder, name, ProtocolConfig(seeds=(0,), folds=5, inner_folds=3))


def check_rounds(root: Path, name: str, config: ProtocolConfig) -> None:
    dataset = READERS[name](root)
    for protocol in protocol_names(dataset, config):
        scored: list[int] = []
        for entry in honest_rounds(dataset, config, protocol, seed=0):
            assert not set(dataset.groups[entry.train]) & set(dataset.groups[entry.test])
            inner_groups = dataset.groups[entry.train]
            for kept, held in entry.inner:
                assert not set(inner_groups[kept]) & set(inner_groups[held])
            scored += entry.test.tolist()
        assert len(scored) == len(set(scored)) > 0


def test_careless_rounds_are_careless(root: Path) -> None:
    dataset = READERS["fma"](root)
    rounds = list(careless_rounds(dataset, ProtocolConfig(seeds=(0,), folds=3, inner_folds=2), seed=0))
    assert any(set(dataset.groups[entry.train]) & set(dataset.groups[entry.test]) for entry in rounds)


def test_final_fit_of_real_gtzan_leaves_out_faults_and_duplicates(data_folder: Path) -> None:
    dataset = READERS["gtzan"](data_folder)
    rows = final_round(dataset, ProtocolConfig(seeds=(0,))).train
    assert 930 <= len(rows) <= 948
    assert len(np.unique(dataset.table.numbers[rows], axis=0)) == len(rows)


def test_training_twice_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "first", tmp_path / "second"]
    for folder in folders:
        train(tiny_config("gtzan"), root, folder, command="test", report=lambda _: None)
    first, second = ({path.name: path.read_bytes() for path in (folder / "1").iterdir()} for folder in folders)
    assert first == second


def test_card_prints_the_leaky_figure_beside_the_honest_ones(root: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    manifest = train(tiny_config("gtzan"), root, tmp_path, command="groovemark train x", report=lines.append)
    card = (tmp_path / "1" / "CARD.md").read_text()
    for part in (
        "artist-filtered three folds",
        "fault-filtered 443/197/290",
        "random rows, groups ignored (leaky)",
        "without scores",
        "groovemark train x",
        "belong to the protocol",
        "2 settings a round (optuna), chosen by log loss",
    ):
        assert part in card
    assert f"{manifest.metrics['accuracy']:.3f}" in card
    assert any("settings tried" in line or "round" in line for line in lines)


def test_card_holds_the_notes_and_speaks_of_no_search_where_there_is_none(root: Path, tmp_path: Path) -> None:
    """It said "Search: 0 settings a round"."""
    config = tiny_config("fma", search=SearchConfig(), variants=(), notes="The aim was missed.\n")
    train(config, root, tmp_path, command="test", report=lambda _: None)
    card = (tmp_path / "1" / "CARD.md").read_text()
    assert "\n\nThe aim was missed.\n\n" in card
    assert "Search:" not in card
    assert "the same in every round" in card


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_shipped_card_gives_a_figure_for_everything_that_was_tried(path: Path) -> None:
    config = read_config(path)
    card = (path.parent / config.version / "CARD.md").read_text()
    assert config.notes.strip() in card
    for variant in config.variants:
        assert f"| {variant.name} | " in card
    for claim in config.stability:
        assert f"- {claim}" in card


def test_missing_data_is_said_with_the_setting_to_change(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="GROOVEMARK_DATA"):
        train(tiny_config("fma"), tmp_path, tmp_path, command="", report=lambda _: None)


def test_objective_that_a_family_does_not_search_by_is_refused_before_anything_is_fitted(
    root: Path, tmp_path: Path
) -> None:
    lines: list[str] = []
    search = SearchConfig(trials=2, ranges={"leaves": (2, 4)}, objective="weighted_f1")
    with pytest.raises(ConfigurationError, match="family boosting must be log_loss; weighted_f1 is for forest"):
        train(tiny_config("fma", search=search), root, tmp_path, command="", report=lines.append)
    assert lines == []


def test_unknown_dataset_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no dataset 'none'"):
        train(tiny_config("none"), tmp_path, tmp_path, command="", report=lambda _: None)


@pytest.mark.parametrize("path", CONFIGS, ids=lambda path: path.parent.name)
def test_shipped_configuration_can_be_read(path: Path) -> None:
    config = read_config(path)
    assert config.name == path.parent.name
    assert len(config.protocol.seeds) >= 3


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ('name = "fma-8"', "", "lacks the entry name"),
        ("folds = 5", "fold = 5", "no entry protocol.fold"),
        ('ship = "all"', 'ship = "some"', "ship"),
        ("seeds = [0, 1, 2]", "seeds = []", "seeds"),
        ("[protocol]", '[search]\nobjective = "f1"\n[protocol]', "objective must be log_loss or weighted_f1, not 'f1'"),
        ("[protocol]", "[protocol", "not TOML"),
    ],
)
def test_wrong_configuration_is_refused_with_the_entry(tmp_path: Path, old: str, new: str, complaint: str) -> None:
    text = next(path for path in CONFIGS if path.parent.name == "fma-8").read_text()
    assert old in text
    path = tmp_path / "train.toml"
    path.write_text(text.replace(old, new))
    with pytest.raises(ConfigurationError, match=complaint):
        read_config(path)


def test_temperature_makes_overconfident_scores_softer() -> None:
    generator = np.random.default_rng(0)
    scores = generator.normal(size=(3_000, 4))
    powers = np.exp(scores)
    targets = np.array([generator.choice(4, p=row) for row in powers / powers.sum(axis=1, keepdims=True)])
    assert fit_temperature(scores, targets) == pytest.approx(1, abs=0.1)
    assert fit_temperature(3 * scores, targets) == pytest.approx(3, abs=0.3)


def test_search_tries_the_defaults_first_and_keeps_the_best() -> None:
    tried: list[float] = []

    def loss(values: dict[str, float]) -> float:
        tried.append(values["x"])
        return (values["x"] - 3) ** 2

    best = search(loss, {"x": (1.0, 10.0)}, {"x": 2.0}, trials=12)  # type: ignore[arg-type]
    assert tried[0] == 2.0
    assert best["x"] == min(tried, key=lambda x: (x - 3) ** 2)


@pytest.mark.parametrize("lowest", [1, 0.1])
def test_search_that_cannot_begin_with_the_settings_says_so(lowest: float) -> None:
    """A forest's depth of 0, which is no limit, ended a search of depths with a traceback."""
    with pytest.raises(ConfigurationError, match="a search of depth begins with the one in the settings"):
        search(lambda _: 0.0, {"depth": (lowest, 10)}, {"depth": 0}, trials=1)
    assert search(lambda values: values["depth"], {"depth": (0, 10)}, {"depth": 0}, trials=2) == {"depth": 0}


def test_search_without_trials_changes_nothing() -> None:
    assert search(lambda _: 0.0, {"x": (1, 10)}, {"x": 2}, trials=0) == {}
