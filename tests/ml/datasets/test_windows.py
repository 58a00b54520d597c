from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_data import write_tiny_audio, write_tiny_data

from groovemark.errors import ConfigurationError, InputRejected
from groovemark.ml.datasets import AUDIO_READERS
from groovemark.ml.datasets.gtzan import FILTERED, FOLDS, read_gtzan
from groovemark.ml.datasets.integrity import check
from groovemark.ml.datasets.table import Dataset
from groovemark.ml.drift.summary import InputSummary
from groovemark.ml.features.described import BANDS_MAX, described_names, described_numbers
from groovemark.ml.features.sets import AST_FBANK, FEATURE_SETS, GTZAN_57, LOG_MEL, MFCC_SEGMENTS, WAVEFORM_10S
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.train import read_dataset
from groovemark.ml.training.config import ProtocolConfig, TrainingConfig
from groovemark.ml.training.measure import mean_of_tracks, measure
from groovemark.ml.training.protocol import Round, careless_rounds, final_round, honest_rounds, protocol_names
from groovemark.ml.training.reference import summarise

PROTOCOL = ProtocolConfig(seeds=(0,), folds=3, inner_folds=2)


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_audio(write_tiny_data(tmp_path_factory.mktemp("data")))


@pytest.fixture(autouse=True, scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory):
    with pytest.MonkeyPatch.context() as patch:
        folder = tmp_path_factory.mktemp("cache")
        patch.setenv("XDG_CACHE_HOME", str(folder))
        yield folder


def windows(tracks: list[int], *, targets: list[int] | None = None, spec: FeatureSpec = MFCC_SEGMENTS) -> Dataset:
    """One window a number in `tracks`, of whose track it is; a track's label is its number modulo 2."""
    numbers = np.random.default_rng(0).normal(size=(len(tracks), *spec.window_shape))
    return Dataset(
        name="invented",
        table=FeatureTable.of_windows(spec, numbers),
        ids=tuple(f"track {track}" for track in tracks),
        labels=("high", "low"),
        targets=np.array(targets if targets is not None else [track % 2 for track in tracks]),
        groups=np.array(tracks),
        grouping="tracks",
        source="invented",
        licence="none",
        tracks=np.array(tracks),
    )


def test_tensors_have_the_shape_of_the_set_and_columns_stay_columns() -> None:
    table = windows([0, 0, 1]).table
    assert table.tensors.shape == (3, 130, 13)
    assert (table.numbers.dtype, table.numbers.shape) == (np.float32, (3, 1690))
    assert FeatureTable.of_windows(GTZAN_57, np.zeros((2, 57), np.float32)).numbers.dtype == np.float64
    with pytest.raises(ValueError, match="columns, not tensors"):
        _ = FeatureTable(GTZAN_57, np.zeros((2, 57))).tensors
    with pytest.raises(ValueError, match="1690 numbers a row"):
        FeatureTable(MFCC_SEGMENTS, np.zeros((2, 13), np.float32))


@pytest.mark.parametrize("spec", [MFCC_SEGMENTS, LOG_MEL, AST_FBANK, WAVEFORM_10S], ids=lambda spec: spec.name)
def test_a_tensor_is_described_by_mean_and_deviation_of_few_bands(spec: FeatureSpec) -> None:
    table = windows([0, 1], spec=spec).table
    numbers = described_numbers(table)
    assert numbers.shape == (2, len(described_names(spec)))
    assert numbers.shape[1] <= 2 * BANDS_MAX
    last = np.array_split(table.tensors, min(BANDS_MAX, spec.shape[-1]), axis=-1)[-1]
    np.testing.assert_allclose(numbers[1, -2:], [last[1].mean(), last[1].std()], atol=1e-5)


def test_batches_and_training_data_are_summed_up_alike() -> None:
    dataset = windows([0, 0, 1, 2])
    summary = InputSummary(MFCC_SEGMENTS, dataset.labels)
    summary.add(dataset.table, dataset.targets)
    reference = summarise(dataset, np.arange(4))
    features = summary.as_dict()["features"]
    assert list(features) == list(reference["numbers"]) == list(described_names(MFCC_SEGMENTS))
    np.testing.assert_allclose(
        features["band_1_mean"]["quantiles"], reference["numbers"]["band_1_mean"][::2], rtol=1e-4
    )


def test_the_windows_of_a_track_share_label_and_group() -> None:
    with pytest.raises(ValueError, match="one label"):
        windows([0, 0, 1], targets=[0, 1, 1])


def test_a_track_s_answer_is_the_mean_over_its_windows_wherever_they_stand() -> None:
    answers = np.array([[0.2, 0.8], [0.6, 0.4], [0.4, 0.6]])
    first, means = mean_of_tracks(answers, np.array([7, 3, 7]))
    assert first.tolist() == [1, 0]
    np.testing.assert_allclose(means, [[0.6, 0.4], [0.3, 0.7]])


def test_figures_count_tracks_and_not_windows() -> None:
    """One track of five windows that are wrong costs as much as one of one window."""
    dataset = windows([0, 0, 0, 0, 0, 1])

    class AlwaysLow:
        chosen: dict[str, object] = {}  # noqa: RUF012

        def probabilities(self, table: FeatureTable) -> np.ndarray:
            return np.tile([0.1, 0.9], (len(table), 1))

    entry = Round(np.arange(0), np.arange(6), [])
    measured = measure("test", dataset, lambda _: [entry], lambda *_: AlwaysLow(), [0], lambda _: None)
    assert measured.scored.tracks == 2
    assert measured.scored.figures["accuracy"].value == 0.5


def test_integrity_speaks_of_tracks() -> None:
    findings = check(windows([0, 0, 1, 2]))
    assert (findings.tracks, findings.repeated_ids, findings.duplicates) == (3, 0, 0)


def test_published_lists_keep_tracks_whole_and_tracks_of_no_list_out(root: Path) -> None:
    dataset = AUDIO_READERS["gtzan-audio"](root, MFCC_SEGMENTS)
    assert (dataset.n_tracks, len(dataset)) == (18, 20)
    assert "folk.00099" not in dataset.ids
    assert dataset.ids.count("folk.00001") == 3
    assert protocol_names(dataset, PROTOCOL) == [FOLDS, FILTERED]
    for name in (FOLDS, FILTERED):
        for entry in honest_rounds(dataset, PROTOCOL, name, 0):
            assert not set(dataset.tracks[entry.train]) & set(dataset.tracks[entry.test])
            assert entry.inner
            sides = dataset.tracks[entry.train]
            assert all(not set(sides[kept]) & set(sides[held]) for kept, held in entry.inner)
    rows = final_round(dataset, PROTOCOL).train
    assert len(rows) == len(dataset)


def test_a_careless_split_cuts_tracks(root: Path) -> None:
    dataset = AUDIO_READERS["gtzan-audio"](root, MFCC_SEGMENTS)
    rounds = list(careless_rounds(dataset, PROTOCOL, seed=0))
    assert any(set(dataset.tracks[entry.train]) & set(dataset.tracks[entry.test]) for entry in rounds)


def test_features_of_training_audio_are_extracted_once(
    root: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("groovemark.ml.datasets.audio.REPORT_EVERY", 5)
    told: list[str] = []
    first = AUDIO_READERS["gtzan-segments"](root, MFCC_SEGMENTS, report=told.append)
    assert told[0] == "mfcc-segments of 5 of 18 files", "training once extracted for minutes without a word"
    entries = [path for path in cache.rglob("*") if path.is_file() and "mfcc-segments" in str(path)]
    assert len(entries) >= 18
    written = {path: path.stat().st_mtime_ns for path in entries}
    second = AUDIO_READERS["gtzan-segments"](root, MFCC_SEGMENTS)
    assert np.array_equal(first.table.numbers, second.table.numbers)
    assert written == {path: path.stat().st_mtime_ns for path in entries}


@pytest.mark.parametrize("protocol", [FOLDS, FILTERED])
def test_real_segments_keep_artists_apart(data_folder: Path, protocol: str) -> None:
    dataset = AUDIO_READERS["gtzan-segments"](data_folder, MFCC_SEGMENTS)
    whole = read_gtzan(data_folder)
    scored: list[int] = []
    for entry, (_, test, *_) in zip(honest_rounds(dataset, PROTOCOL, protocol, 0), whole.splits[protocol], strict=True):
        published = {whole.ids[row] for row in test}
        assert {dataset.ids[row] for row in entry.test} <= published
        assert not {dataset.ids[row] for row in entry.train} & published
        scored += entry.test.tolist()
    assert len(scored) == {FOLDS: 493, FILTERED: 128}[protocol]


def config(dataset: str, features: str) -> TrainingConfig:
    texts = dict.fromkeys(("name", "version", "title", "family", "task", "created", "licence"), "x")
    return TrainingConfig(
        **texts, dataset=dataset, features=features, ship="all", bag=1, protocol=PROTOCOL, settings={}
    )  # fmt: skip


@pytest.mark.parametrize(
    ("dataset", "features", "complaint"),
    [
        ("gtzan-segments", "", "features must be one of"),
        ("gtzan-segments", "echonest-155", "features must be one of"),
        ("gtzan", "gtzan-57", "remove the entry features"),
        ("none", "", "no dataset 'none'"),
    ],
)
def test_features_are_named_for_audio_and_for_audio_alone(
    root: Path, dataset: str, features: str, complaint: str
) -> None:
    with pytest.raises(ConfigurationError, match=complaint):
        read_dataset(config(dataset, features), root, root)


def test_columns_come_from_audio_as_well(root: Path) -> None:
    dataset = read_dataset(config("gtzan-segments", "gtzan-57"), root, root)
    assert dataset.table.numbers.shape == (18, 57)
    assert dataset.table.spec is FEATURE_SETS["gtzan-57"]


def test_too_few_listed_tracks_are_refused(tmp_path: Path) -> None:
    root = write_tiny_audio(write_tiny_data(tmp_path))
    for label in ("metal", "pop"):
        for path in (root / "gtzan" / "segments" / label).iterdir():
            if not path.name.endswith("00002.flac"):
                path.unlink()
    with pytest.raises(InputRejected, match="too few tracks"):
        AUDIO_READERS["gtzan-segments"](root, MFCC_SEGMENTS)
