"""`groovemark features`, with its real sandbox."""

from __future__ import annotations

import numpy as np
import pyarrow.parquet as pq
import pytest
import soundfile
import typer
from typer.testing import CliRunner

from groovemark.cli.features import features
from groovemark.ml.audio.decode import decode
from groovemark.ml.features.files import extract_file
from groovemark.ml.features.sets import FMA_42, MFCC_SEGMENTS

RATE = 22_050


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clips")
    random = np.random.default_rng(1)
    for name, seconds in (("b", 4), ("a", 7)):
        soundfile.write(folder / f"{name}.wav", random.uniform(-0.5, 0.5, seconds * RATE), RATE)
    (folder / "broken.mp3").write_bytes(b"no audio at all")
    return folder


def run(*arguments):
    app = typer.Typer()
    app.command()(features)
    return CliRunner().invoke(app, [str(argument) for argument in [*arguments, "--processes", 1]])


def test_rows_come_in_the_order_given_and_a_broken_file_is_a_row_of_nulls(folder, tmp_path):
    files = [folder / "b.wav", folder / "broken.mp3", folder / "gone.wav", folder / "a.wav"]
    result = run(*files, "--set", "fma-42", "-o", tmp_path / "out.parquet")
    assert result.exit_code == 1
    assert f"{files[1]}: The file is damaged" in result.stderr
    assert f"{files[2]}: The file cannot be opened" in result.stderr
    table = pq.read_table(tmp_path / "out.parquet")
    assert table.column_names == ["file", *FMA_42.numeric_names]
    assert table["file"].to_pylist() == [str(file) for file in files]
    rows = table.drop_columns("file").to_pylist()
    assert set(rows[1].values()) == set(rows[2].values()) == {None}
    for row, file in ((rows[0], files[0]), (rows[3], files[3])):
        expected = extract_file(str(file), "fma-42").windows[0]
        assert np.array(list(row.values()), dtype=np.float32).tobytes() == expected.tobytes()
    assert [path.name for path in tmp_path.iterdir()] == ["out.parquet"]


def test_a_set_of_tensors_keeps_every_window_and_the_second_run_takes_them_from_the_cache(folder, tmp_path):
    copy = tmp_path / "a.wav"
    copy.write_bytes((folder / "a.wav").read_bytes())
    arguments = (copy, "--set", "mfcc-segments", "-o", tmp_path / "out.parquet", "--cache", tmp_path / "cache")
    assert run(*arguments).exit_code == 0
    first = pq.read_table(tmp_path / "out.parquet")
    assert np.array(first["windows"][0].as_py()).reshape(-1, *MFCC_SEGMENTS.shape).shape == (2, 130, 13)
    assert len(decode(copy, RATE)) == 7 * RATE
    (entry,) = (path for path in (tmp_path / "cache").rglob("*") if path.is_file())
    entry.write_bytes(entry.read_bytes()[:-4] + np.float32(123.5).tobytes())
    assert run(*arguments).exit_code == 0
    assert pq.read_table(tmp_path / "out.parquet")["windows"][0].as_py()[-1][-1] == 123.5


def test_an_unknown_set_is_refused_and_the_known_ones_are_named(folder, tmp_path):
    result = run(folder / "a.wav", "--set", "gtzan-58", "-o", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())
