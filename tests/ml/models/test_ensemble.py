"""Ensembles: models made of models, found beside them, and answering for tracks as the mean of their members."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_data import tiny_config

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.datasets import READERS, Dataset
from groovemark.ml.datasets.joint import JointTable, join
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.sets import FMA_42, GTZAN_57, MFCC_SEGMENTS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.artifact import read_manifest, write_manifest
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.ensemble.classifier import EnsembleClassifier
from groovemark.ml.models.ensemble.fit import Fitted, find_temperature, fit, make_plan
from groovemark.ml.models.ensemble.save import save
from groovemark.ml.models.held import Held
from groovemark.ml.predict import predict_audio
from groovemark.ml.train import keep_checkpoints, read_dataset, train
from groovemark.ml.training.calibration import log_loss
from groovemark.ml.training.config import SearchConfig, TrainingConfig, Variant, read_config

WEIGHTS = {"tiny-forest": 3.0, "tiny-fma": 1.0}


def member_configs() -> tuple[TrainingConfig, TrainingConfig]:
    plain = {"variants": (), "search": SearchConfig(), "bag": 1}
    forest = tiny_config("fma", name="tiny-forest", family="forest", settings={"trees": 4}, **plain)
    return forest, tiny_config("fma", **plain)


def ensemble_config(**changes: object) -> TrainingConfig:
    entries = {
        "name": "tiny-ensemble",
        "family": "ensemble",
        "members": member_configs(),
        "dataset": "",
        "ship": "members",
        "bag": 1,
        "settings": {"weights": WEIGHTS},
        "search": SearchConfig(),
        "variants": (Variant("the forest alone", {"weights": {"tiny-forest": 1.0}}),),
    }
    return replace(tiny_config("fma"), **{**entries, **changes})  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def root(tiny_data: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model root with a forest, a boosted model, and the ensemble of both."""
    root = tmp_path_factory.mktemp("model")
    for config in (*member_configs(), ensemble_config()):
        train(config, tiny_data, root / config.name, command="test", report=lambda _: None)
    return root


@pytest.fixture
def damaged(root: Path, tmp_path: Path) -> Path:
    """A copy of the root that a test may damage."""
    return shutil.copytree(root, tmp_path / "model")


def change_member(root: Path, name: str, **changes: object) -> None:
    folder = root / name / "1"
    write_manifest(folder, replace(read_manifest(folder), **changes))  # type: ignore[arg-type]


def change_content(root: Path, change: Callable[[dict], None]) -> None:
    """Of the ensemble's file, as somebody would who also made the manifest fit."""
    folder = root / "tiny-ensemble" / "1"
    content = json.loads((folder / "ensemble.json").read_text())
    change(content)
    text = json.dumps(content)
    (folder / "ensemble.json").write_text(text)
    from groovemark.ml.models.artifact import describe_files

    manifest = read_manifest(folder)
    write_manifest(folder, replace(manifest, files=describe_files(folder, manifest.files)))


def load_ensemble(root: Path):
    return registry.load(root / "tiny-ensemble" / "1")


def test_answer_is_the_weighted_mean_of_the_members_answers_at_its_temperature(root: Path) -> None:
    rows = FeatureTable(FMA_42, np.random.default_rng(0).normal(size=(30, 42)))
    members = {name: registry.load(root / name / "1").run(rows) for name in WEIGHTS}
    mean = 0.75 * members["tiny-forest"] + 0.25 * members["tiny-fma"]
    temperature = json.loads((root / "tiny-ensemble" / "1" / "ensemble.json").read_text())["temperature"]
    assert temperature != 1
    powers = mean ** (1 / temperature)
    ensemble = load_ensemble(root)
    np.testing.assert_allclose(ensemble.run(rows), powers / powers.sum(axis=1, keepdims=True), atol=1e-5)
    assert ensemble.spec.features == FMA_42
    assert ensemble.spec.other_features == ()
    ensemble.close()


def test_card_tells_what_ships_and_what_each_member_gives_alone(root: Path) -> None:
    card = (root / "tiny-ensemble" / "1" / "CARD.md").read_text()
    for part in (
        "tiny-forest@1, tiny-fma@1",
        "fitted anew in every round",
        "| the forest alone | ",
        "tiny-fma: rounds",
        "grouped 2-fold",
        "(leaky)",
    ):
        assert part in card


def test_missing_member_is_named_with_what_to_do(damaged: Path) -> None:
    shutil.rmtree(damaged / "tiny-forest")
    with pytest.raises(ModelRejected, match=r"needs its member tiny-forest@1, .* install or train it first"):
        load_ensemble(damaged)


def test_member_that_was_trained_again_is_another_one(damaged: Path) -> None:
    change_member(damaged, "tiny-forest", created="2026-02-02")
    with pytest.raises(ModelRejected, match="tiny-forest@1 has changed"):
        load_ensemble(damaged)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"labels": ("a", "b")}, "do not have the same labels"),
        ({"is_multi_label": True}, "do not have the same labels"),
        ({"task": "composer"}, "has the task genre"),
        ({"family": "ensemble"}, "is an ensemble itself"),
    ],
)
def test_member_that_does_not_fit_is_refused(damaged: Path, changes: dict[str, object], complaint: str) -> None:
    change_member(damaged, "tiny-forest", **changes)
    with pytest.raises(ModelRejected, match=complaint):
        load_ensemble(damaged)


@pytest.mark.parametrize(
    ("changes", "complaint"),
    [
        ({"model": "../../etc@1"}, "no name@version"),
        ({"model": "tiny-forest"}, "no name@version"),
        ({"model": 3}, "named as name@version"),
        ({"model": "tiny-ensemble@1"}, "is an ensemble itself"),
        ({"weight": -1.0}, "weight of tiny-forest@1"),
        ({"weight": float("nan")}, "weight of tiny-forest@1"),
        ({"weight": 0.0}, "weight of tiny-forest@1"),
        ({"manifest_sha256": "0" * 64}, "has changed"),
    ],
)
def test_damaged_entry_is_refused(damaged: Path, changes: dict[str, object], complaint: str) -> None:
    change_content(damaged, lambda content: content["members"][0].update(changes))
    with pytest.raises(ModelRejected, match=complaint):
        load_ensemble(damaged)


@pytest.mark.parametrize("temperature", [None, 0.0, float("nan"), "1"])
def test_temperature_that_is_none_is_refused(damaged: Path, temperature: object) -> None:
    change_content(damaged, lambda content: content.update(temperature=temperature))
    with pytest.raises(ModelRejected, match=r"ensemble\.json: a temperature must be from"):
        load_ensemble(damaged)


def test_training_asks_for_the_members_before_it_takes_any_figure(tiny_data: Path, tmp_path: Path) -> None:
    lines: list[str] = []
    with pytest.raises(ModelRejected, match=r"tiny-forest@1, .* install or train it first"):
        train(ensemble_config(), tiny_data, tmp_path / "tiny-ensemble", command="test", report=lines.append)
    assert lines == []


@pytest.mark.parametrize(
    ("settings", "complaint"),
    [
        ({"weights": {"tiny-fish": 1.0}}, "'tiny-fish' is of no member"),
        ({"weights": {"tiny-forest": -1.0}}, "below 0"),
        ({"weights": {"tiny-forest": 0.0}}, "above it"),
        ({"temperature": -1.0}, "a temperature must be from"),
        ({"temperature": "1"}, "a temperature must be from"),
        ({"trees": 3}, "no setting 'trees'"),
    ],
)
def test_wrong_settings_are_refused(settings: dict[str, object], complaint: str) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        make_plan(settings={"members": member_configs(), **settings}, ranges={}, trials=0, seeds=(0,))


def test_checkpoints_are_kept_of_the_members_that_are_taught_in_epochs_and_refused_where_none_is() -> None:
    forest, boosting = member_configs()
    network = replace(forest, name="tiny-cnn", family="cnn", settings={"epochs": 2})
    config = keep_checkpoints(ensemble_config(members=(forest, network)), Path("kept"))
    assert [member.settings.get("checkpoints") for member in config.members] == [None, "kept"]
    plan = make_plan(settings={"members": config.members}, ranges={}, trials=0, seeds=(0,))
    assert plan.plans[1].settings.checkpoints == "kept"
    with pytest.raises(ConfigurationError, match="no member of the ensemble is taught in epochs: leave --checkpoints"):
        keep_checkpoints(ensemble_config(members=(forest, boosting)), Path("kept"))


def test_configuration_names_the_folders_of_its_members(tmp_path: Path) -> None:
    shipped = Path(__file__).parents[3] / "model" / "fma-8" / "train.toml"
    for name in ("one", "two", "both", "nested"):
        (tmp_path / name).mkdir()
    for name, trials in (("one", 3), ("two", 5)):
        searched = f"[search]\ntrials = {trials}\n[[variants]]"
        content = shipped.read_text().replace('"fma-8"', f'"{name}"').replace("[[variants]]", searched, 1)
        (tmp_path / name / "train.toml").write_text(content)
    text = (
        'name = "both"\nversion = "1"\ntitle = "Both"\nfamily = "ensemble"\ntask = "genre"\nship = "members"\nbag = 2\n'
        'created = "2026-01-01"\nlicence = "MIT"\nmembers = ["one", "two"]\nsettings = {}\nprotocol = { seeds = [0] }\n'
    )
    both = tmp_path / "both" / "train.toml"
    both.write_text(text)
    assert [member.name for member in read_config(both).members] == ["one", "two"]
    # Once an ensemble's figures were those of members that had not been searched for, as the ones that ship are.
    assert read_config(both).search.trials == 5
    for old, new, complaint in (
        ('"two"', '"three"', "three/train.toml cannot be read"),
        ('members = ["one", "two"]', "", "lacks the entry dataset"),
        ('"members"', '"all"', "of an ensemble 'members'"),
    ):
        both.write_text(text.replace(old, new))
        with pytest.raises(ConfigurationError, match=complaint):
            read_config(both)
    both.write_text(text)
    (tmp_path / "nested" / "train.toml").write_text(text.replace('"two"', '"both"'))
    with pytest.raises(ConfigurationError, match="both is an ensemble itself"):
        read_config(tmp_path / "nested" / "train.toml")


def windows_of(tracks: list[str], rows: int, spec=MFCC_SEGMENTS, **changes: object) -> Dataset:
    """Some windows of each track, whose label is the first letter of its name; the first number says whose they are."""
    ids = [track for track in tracks for _ in range(rows)]
    numbers = np.zeros((len(ids), *spec.window_shape))
    numbers.reshape(len(ids), -1)[:, 0] = [int(track[1:]) for track in ids]
    known = sorted({track[0] for track in tracks})
    entries = {
        "name": "invented",
        "table": FeatureTable.of_windows(spec, numbers),
        "ids": tuple(ids),
        "labels": tuple(known),
        "targets": np.array([known.index(track[0]) for track in ids]),
        "groups": np.array([int(track[1:]) for track in ids]),
        "grouping": "tracks",
        "source": "invented",
        "licence": "none",
        "tracks": np.array([int(track[1:]) for track in ids]),
    }
    return Dataset(**{**entries, **changes})  # type: ignore[arg-type]


def test_joint_rows_are_the_common_tracks_each_with_its_windows_of_every_set() -> None:
    joint = join([windows_of(["a1", "b2", "a3"], 1, GTZAN_57), windows_of(["a3", "b5", "a1"], 2)], "both")
    assert (joint.ids, joint.labels, joint.n_tracks) == (("a1", "a3"), ("a", "b"), 2)
    table = joint.take(np.array([1])).table
    assert isinstance(table, JointTable)
    assert [len(member) for member in table.members] == [1, 2]
    assert [member.numbers[:, 0].tolist() for member in table.members] == [[3], [3, 3]]
    assert [owners.tolist() for owners in table.owners] == [[0], [0, 0]]
    assert [spec.name for spec in table.other_specs] == ["mfcc-segments"]


def test_tracks_that_share_a_group_in_any_dataset_are_never_parted() -> None:
    tracks = ["a1", "b2", "a3", "b4"]
    first = windows_of(tracks, 1, GTZAN_57, groups=np.array([0, 0, 1, 2]))
    second = windows_of(tracks, 1, groups=np.array([0, 1, 1, 2]))
    groups = join([first, second], "both").groups
    assert len(set(groups[:3])) == 1
    assert groups[3] not in groups[:3]


def test_datasets_that_do_not_fit_are_refused() -> None:
    one = windows_of(["a1", "b2"], 1, GTZAN_57)
    for other, complaint in (
        (windows_of(["a5", "b6"], 1), "no track in common"),
        (windows_of(["a1", "c2"], 1), "do not have the same labels"),
        (windows_of(["a1", "b2"], 1, targets=np.array([1, 1])), "label the same track differently"),
    ):
        with pytest.raises(ConfigurationError, match=complaint):
            join([one, other], "both")


def test_members_are_fitted_on_the_rounds_tracks_alone(tiny_data: Path) -> None:
    dataset = read_dataset(ensemble_config(), tiny_data, tiny_data)
    assert dataset.ids == READERS["fma"](tiny_data).ids
    settings = {"members": member_configs(), "weights": {"tiny-forest": 1.0}, "temperature": 1.0}
    plan = make_plan(settings=settings, ranges={}, trials=0, seeds=(0,))
    rows = np.arange(0, len(dataset), 2)
    side = dataset.take(rows)
    halves = (np.arange(0, len(rows), 2), np.arange(1, len(rows), 2))
    fitted = fit(side.table, side.targets, len(dataset.labels), [halves], plan)
    assert fitted.members[1] is None  # it has no share
    alone = fitted.members[0].probabilities(dataset.table.members[0])
    np.testing.assert_allclose(fitted.probabilities(dataset.table), alone, atol=1e-9)


def test_a_mean_is_as_sure_of_itself_as_it_is_right_on_tracks_that_were_held_out(tiny_data: Path) -> None:
    """The mean of calibrated members, sure in different places, fell 16 points short of how often it was right."""
    dataset = read_dataset(ensemble_config(), tiny_data, tiny_data)
    thirds = [np.arange(start, len(dataset), 3) for start in range(3)]
    side = dataset.take(np.sort(np.concatenate(thirds[:2])))
    own = [np.arange(start, len(side), 2) for start in range(2)]
    answers = {}
    for given in (0.0, 1.0):
        settings = {"members": member_configs(), "temperature": given}
        plan = make_plan(settings=settings, ranges={}, trials=0, seeds=(0,))
        fitted = fit(side.table, side.targets, len(dataset.labels), [(own[0], own[1]), (own[1], own[0])], plan)
        answers[given] = fitted.probabilities(dataset.take(thirds[2]).table)
    truth = dataset.targets[thirds[2]]
    np.testing.assert_array_equal(answers[0.0].argmax(axis=1), answers[1.0].argmax(axis=1))
    assert log_loss(answers[0.0], truth) < log_loss(answers[1.0], truth)


def test_rounds_that_found_no_temperature_have_no_part_in_the_one_that_ships(root: Path, tmp_path: Path) -> None:
    """They counted as having found 1."""
    plan = make_plan(settings={"members": member_configs()}, ranges={}, trials=0, seeds=(0,))
    for name in WEIGHTS:
        shutil.copytree(root / name, tmp_path / name)
    for found, shipped in (([None, 0.5, 0.7], 0.6), ([None], 1.0)):
        folder = tmp_path / "both" / str(shipped)
        folder.mkdir(parents=True)
        save(folder, [Fitted(plan, (), temperature, {}) for temperature in found])
        assert json.loads((folder / "ensemble.json").read_text())["temperature"] == pytest.approx(shipped)


def test_where_no_track_was_held_out_of_all_members_no_temperature_is_found(tiny_data: Path) -> None:
    dataset = read_dataset(ensemble_config(), tiny_data, tiny_data)
    joint = dataset.table
    nothing = Held(np.empty(0, np.int64), np.empty((0, len(dataset.labels))))
    member = SimpleNamespace(held=nothing)
    assert isinstance(joint, JointTable)
    assert find_temperature([member, member], (0.5, 0.5), joint, dataset.targets) is None


class Fixed:
    """Answers the same for every window of its set."""

    def __init__(self, spec, heads: float) -> None:
        self.spec = ModelSpec("fixed", "1", "fake", "genre", spec, ("heads", "tails"))
        self._heads, self.rows = heads, []

    def run(self, batch: FeatureTable, /) -> np.ndarray:
        assert batch.spec == self.spec.features
        self.rows.append(len(batch))
        return np.tile(np.float32([self._heads, 1 - self._heads]), (len(batch), 1))

    def close(self) -> None:
        pass


def test_file_is_answered_by_members_that_take_different_sets_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parents[1]))
    one, other = Fixed(FMA_42, 0.9), Fixed(MFCC_SEGMENTS, 0.1)
    spec = ModelSpec("both", "1", "ensemble", "genre", FMA_42, ("heads", "tails"))
    ensemble = EnsembleClassifier(spec, [(one, 3), (other, 1)], temperature=0.5)
    with FileExtractor(Sandbox("slow_target:run")) as extractor:
        files = [NamedFile("a", Path("/music/0-1")), NamedFile("b", Path("/music/bad"))]
        good, bad = chain.from_iterable(predict_audio(files, ensemble, extractor))
    np.testing.assert_allclose(good.probabilities, [0.49 / 0.58, 0.09 / 0.58], atol=1e-6)
    # Of the member whose features are shown, and as it answers: the temperature is that of another mean.
    np.testing.assert_allclose(good.segments, [[0.9, 0.1]], atol=1e-6)
    assert (good.features.spec, len(good.features)) == (FMA_42, 1)
    assert (one.rows, other.rows) == ([1], [2])
    assert bad.reason == "undecodable"
    with pytest.raises(ModelRejected, match="audio alone"):
        ensemble.run(good.features)
    alike = EnsembleClassifier(spec, [(one, 3), (Fixed(FMA_42, 0.1), 1)], temperature=0.5)
    with FileExtractor(Sandbox("slow_target:run")) as extractor:
        ((good,),) = predict_audio([NamedFile("a", Path("/music/0-1"))], alike, extractor)
    np.testing.assert_allclose(good.segments, [[0.49 / 0.58, 0.09 / 0.58]], atol=1e-6)
