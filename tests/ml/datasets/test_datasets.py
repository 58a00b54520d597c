from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tiny_data import write_tiny_data

from groovemark.errors import InputRejected
from groovemark.ml.datasets import READERS
from groovemark.ml.datasets.fma import neighbours, read_fma
from groovemark.ml.datasets.gtzan import FILTERED, FOLDS, read_gtzan, track_id
from groovemark.ml.datasets.integrity import check


@pytest.fixture
def root(tmp_path: Path) -> Path:
    return write_tiny_data(tmp_path / "data")


@pytest.mark.parametrize("name", READERS)
def test_dataset_is_read_whole(root: Path, name: str) -> None:
    dataset = READERS[name](root)
    assert len(dataset) == len(dataset.ids) == len(dataset.targets) == len(dataset.groups) == 72
    assert dataset.labels == ("folk", "metal", "pop")
    assert np.bincount(dataset.targets).tolist() == [24, 24, 24]


@pytest.mark.parametrize(("name", "tracks", "labels"), [("echonest", 450, 8), ("fma", 4000, 8), ("gtzan", 1000, 10)])
def test_real_data_has_the_known_size(data_folder: Path, name: str, tracks: int, labels: int) -> None:
    dataset = READERS[name](data_folder)
    assert (len(dataset), len(dataset.labels)) == (tracks, labels)


def test_real_gtzan_lists_have_the_published_sizes_and_no_overlap(data_folder: Path) -> None:
    dataset = read_gtzan(data_folder)
    train, test, valid = dataset.splits[FILTERED][0]
    assert (len(train), len(valid), len(test)) == (443, 197, 290)
    assert len(np.unique(np.concatenate([train, valid, test]))) == 930
    tests = np.concatenate([test for _, test in dataset.splits[FOLDS]])
    assert len(np.unique(tests)) == len(tests) == 948
    for train, test in dataset.splits[FOLDS]:
        assert len(np.intersect1d(train, test)) == 0


def test_real_gtzan_s_known_duplicates_are_found(data_folder: Path) -> None:
    findings = check(read_gtzan(data_folder))
    assert findings.duplicates > 0
    assert findings.repeated_ids == 0


def test_duplicate_and_conflicting_rows_are_counted(root: Path) -> None:
    path = root / "fma" / "features_train4000.csv"
    header, *lines = path.read_text().splitlines()
    first = lines[0].split(",")
    path.write_text("\n".join([header, *lines, ",".join(["9000001", *first[1:-1], "pop"]), lines[1]]) + "\n")
    findings = check(read_fma(root))
    assert (findings.tracks, findings.repeated_ids, findings.duplicates, findings.conflicts) == (74, 1, 2, 2)


def test_clips_with_equal_features_share_a_group(root: Path) -> None:
    path = root / "fma" / "features_train4000.csv"
    lines = path.read_text().splitlines()
    path.write_text("\n".join([*lines, ",".join(["9000001", *lines[1].split(",")[1:]])]) + "\n")
    groups = read_fma(root).groups
    assert groups[-1] == groups[0]


def test_ids_closer_than_twenty_form_one_group() -> None:
    groups = neighbours(np.array([500, 10, 29, 48, 68]))
    assert groups.tolist() == [2, 0, 0, 0, 1]


def test_tracks_with_the_same_words_share_a_group(root: Path) -> None:
    path = root / "echonest" / "valid450_labelled.csv"
    text = path.read_text()
    path.write_text(text.replace('word1"', 'word0"'))
    groups = READERS["echonest"](root).groups
    assert groups[0] == groups[1]
    assert len(np.unique(groups)) == 71


def test_titles_join_groups_whatever_stands_in_parentheses(root: Path) -> None:
    path = root / "echonest" / "valid450_labelled.csv"
    text = path.read_text()
    assert len(np.unique(READERS["echonest-titled"](root).groups)) == 72
    for title, other in (("river number 1\n", "River Number 0 (Live)\n"), ("river number 2\n", "(Intro)\n")):
        text = text.replace(title, other)
    path.write_text(text)
    dataset = READERS["echonest-titled"](root)
    assert dataset.groups[0] == dataset.groups[1]
    assert len(np.unique(dataset.groups)) == 71
    assert dataset.table.texts["title"][1:3] == ["River Number 0 (Live)", "(Intro)"]


def test_empty_cell_is_refused_with_its_column(root: Path) -> None:
    path = root / "fma" / "features_train4000.csv"
    header, first, *lines = path.read_text().splitlines()
    cells = first.split(",")
    cells[1] = ""
    path.write_text("\n".join([header, ",".join(cells), *lines]) + "\n")
    with pytest.raises(InputRejected, match="mfcc_1"):
        read_fma(root)


def test_list_that_names_an_unknown_clip_is_refused(root: Path) -> None:
    (root / "gtzan" / "splits" / "folds3" / "f1_test.txt").write_text("./pop_99999.wav\tpop\n")
    with pytest.raises(InputRejected, match=r"pop\.99999"):
        read_gtzan(root)


@pytest.mark.parametrize("name", ["blues.00012.wav", "blues.00012.au", "./blues_00012.wav", "blues/blues.00012.wav"])
def test_every_spelling_of_a_clip_is_one_id(name: str) -> None:
    assert track_id(name) == "blues.00012"
