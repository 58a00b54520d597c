"""The header decides what a table serves, and says what to do where it serves nothing."""

from __future__ import annotations

from pathlib import Path

import pytest
from tables import HEADER, PLAIN, table

from groovemark.errors import InputRejected
from groovemark.ingest.csv import CsvLimits, open_csv
from groovemark.ingest.header import required_columns
from groovemark.ml.features.sets import ECHONEST_155, FEATURE_SETS, FMA_42
from groovemark.ml.features.spec import FeatureSpec

TABULAR = [spec for spec in FEATURE_SETS.values() if spec.columns]


def test_a_header_of_too_many_columns_is_refused(tmp_path: Path) -> None:
    content = ",".join(f"c{number}" for number in range(100_000))
    with pytest.raises(InputRejected, match="at most 4,096"):
        table(tmp_path / "x.csv", content)


@pytest.mark.parametrize("header", ["x" * 300_000, '"' + "x" * 300_000, "trackID,level," + "x" * 300_000 + "\n1,2,3\n"])
def test_a_header_without_end_is_refused(tmp_path: Path, header: str) -> None:
    with pytest.raises(InputRejected, match="header line"):
        table(tmp_path / "x.csv", header, PLAIN)


def test_a_wanted_column_that_occurs_twice_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputRejected) as caught:
        table(tmp_path / "x.csv", "trackID,level,level\n1,2,3\n", PLAIN)
    assert [(fault.code, fault.column) for fault in caught.value.faults] == [("duplicate_column", "level")]


def test_the_header_chooses_the_spec(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    for spec in TABULAR:
        names = ["track_id", "title", *(column.name for column in reversed(spec.columns))]
        path.write_text(",".join(names))
        assert open_csv(path, specs=list(FEATURE_SETS.values()), limits=CsvLimits()).spec is spec


def test_a_header_that_fits_no_spec_is_told_what_the_nearest_lacks(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text(",".join(["trackID", *FMA_42.numeric_names[2:]]))
    with pytest.raises(InputRejected, match=r"^2 of the 43 columns of a table of fma-42 .* mfcc_1, mfcc_2") as caught:
        open_csv(path, specs=list(FEATURE_SETS.values()), limits=CsvLimits())
    assert [fault.column for fault in caught.value.faults] == ["mfcc_1", "mfcc_2"]
    path.write_text("loudness\n")
    with pytest.raises(InputRejected, match="trackID or track_id, title, tags"):
        open_csv(path, specs=ECHONEST_155, limits=CsvLimits())


def test_a_model_that_takes_no_tables_is_not_offered_one(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("trackID,title\n1,a\n")
    with pytest.raises(InputRejected, match="send audio"):
        open_csv(path, specs=[spec for spec in FEATURE_SETS.values() if not spec.columns], limits=CsvLimits())


@pytest.mark.parametrize("encoding_name", ["utf-8", "utf-16"])
def test_a_table_separated_by_tabs_is_told_so(tmp_path: Path, encoding_name: str) -> None:
    """It was told that all of its columns are missing; spreadsheets write such files as "Unicode text"."""
    content = HEADER.replace(",", "\t").encode(encoding_name)
    with pytest.raises(InputRejected, match="separated by tabs") as caught:
        table(tmp_path / "x.csv", content)
    assert [(fault.code, fault.line) for fault in caught.value.faults] == [("wrong_separator", 1)]


@pytest.mark.parametrize("first", ["sep=,", "sep=;", '"sep=,"', "SEP=;", "sep=\t"])
def test_a_spreadsheets_separator_line_is_told_to_be_deleted(tmp_path: Path, first: str) -> None:
    separator = first.strip('"')[-1]
    with pytest.raises(InputRejected, match=r"Line 1 is the separator line .* delete it") as caught:
        table(tmp_path / "x.csv", f"{first}\n" + HEADER.replace(",", separator))
    assert [fault.code for fault in caught.value.faults] == ["separator_line"]


@pytest.mark.parametrize("spec", TABULAR, ids=lambda spec: spec.name)
@pytest.mark.parametrize("separator", [",", ";"])
def test_names_that_differ_by_case_or_spaces_are_shown_as_they_must_be(
    tmp_path: Path, spec: FeatureSpec, separator: str
) -> None:
    """Nothing but "157 required columns are missing" was said."""
    names = ["trackID", *required_columns(spec)]
    path = tmp_path / "x.csv"
    path.write_text(separator.join(f" {name.upper()}" for name in names))
    with pytest.raises(InputRejected, match=f"a table of {spec.name} features") as caught:
        open_csv(path, specs=TABULAR, limits=CsvLimits())
    assert "' TRACKID' must be trackID, ' " in caught.value.message
    assert len(caught.value.message) < 1_000
    assert all("the header has ' " in fault.message for fault in caught.value.faults)


def test_only_columns_that_are_there_but_for_case_are_shown_beside_the_missing(tmp_path: Path) -> None:
    with pytest.raises(InputRejected, match=r"missing: tempo, level\. Case and spaces count: 'Level' must be level\."):
        table(tmp_path / "x.csv", "trackID,title,tags,key,Level\n")
