"""`groovemark features`, with its real sandbox."""

from __future__ import annotations

import os
from pathlib import Path

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


def run(*arguments, processes=("--processes", 1)):
    app = typer.Typer()
    app.command()(features)
    return CliRunner().invoke(app, [str(argument) for argument in [*arguments, *processes]])


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


def test_a_name_that_is_not_utf8_is_shown_as_far_as_it_can_be(folder, tmp_path):
    """Arrow took nothing else, the command ended with a trace, and the rows of every other file were gone."""
    odd = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.wav"))
    odd.write_bytes((folder / "b.wav").read_bytes())
    assert run(folder / "b.wav", odd, "--set", "fma-42", "-o", tmp_path / "out.parquet").exit_code == 0
    first, second = pq.read_table(tmp_path / "out.parquet").to_pylist()
    assert (first.pop("file"), second.pop("file")) == (str(folder / "b.wav"), f"{tmp_path}/caf\\xe9.wav")
    assert first == second


@pytest.mark.parametrize("output", [".", "gone/out.parquet"])
def test_a_place_that_cannot_be_written_to_is_refused_before_any_work(folder, tmp_path, output):
    """A folder was noticed when the last file was done, and a file in no folder with a trace."""
    result = run(folder / "b.wav", "-o", tmp_path / output)
    assert result.exit_code == 2
    assert "must be a file in a folder" in " ".join(result.stderr.replace("│", "").split())


def test_tensors_of_long_files_are_written_as_they_come(folder, tmp_path, monkeypatch):
    """256 files were held before the first was written: of tracks of four minutes, 7 GiB of filterbanks."""
    monkeypatch.setattr("groovemark.cli.features.BYTES_AT_ONCE", 1)
    files = [folder / "a.wav", folder / "broken.mp3", folder / "b.wav"]
    assert run(*files, "--set", "mfcc-segments", "-o", tmp_path / "out.parquet").exit_code == 1
    written = pq.ParquetFile(tmp_path / "out.parquet")
    assert written.num_row_groups == 2
    counts = [None if windows is None else len(windows) for windows in written.read()["windows"].to_pylist()]
    assert counts == [2, None, 1]


def test_an_unknown_set_is_refused_and_the_known_ones_are_named(folder, tmp_path):
    result = run(folder / "a.wav", "--set", "gtzan-58", "-o", tmp_path / "out.parquet")
    assert result.exit_code == 2
    assert not list(tmp_path.iterdir())


def odd_files(folder):
    """File names, of what the command answers with numbers and of what it refuses with these words."""
    time_s = np.arange(RATE) / RATE
    tone = 0.5 * np.sin(2 * np.pi * 440 * time_s)
    noise = np.random.default_rng(2).uniform(-1, 1, 192_000)
    nan, infinite = noise[:RATE].copy(), noise[:RATE].copy()
    nan[100], infinite[200] = np.nan, np.inf
    sounds = {
        "silence": (np.zeros(RATE), RATE),
        "direct-current": (np.full(RATE, 0.25), RATE),
        "tone": (tone, RATE),
        "clipped": (np.clip(9 * tone, -1, 1), RATE),
        "8-channels": (np.stack([tone] * 8, axis=1), RATE),
        "8-kHz": (noise[:8_000], 8_000),
        "192-kHz": (noise, 192_000),
        "two-samples": (noise[:2], RATE),
        "one-sample": (noise[:1], RATE),
        "nan": (nan, RATE),
        "infinite": (infinite, RATE),
        "far-beyond-full-scale": (np.full(RATE, 1e30), RATE),
    }
    for name, (sound, rate) in sounds.items():
        soundfile.write(folder / f"{name}.wav", sound, rate, subtype="FLOAT")
    soundfile.write(folder / "no-sample.wav", np.zeros(0), RATE)
    (folder / "empty.wav").write_bytes(b"")
    refused = {
        "nan": "not finite",
        "infinite": "not finite",
        "far-beyond-full-scale": "not finite",
        "one-sample": "at least 0.5 s are needed",
        "two-samples": "at least 0.5 s are needed",
        "no-sample": "at least 0.5 s are needed",
        "empty": "damaged or is no audio",
    }
    return [name for name in sounds if name not in refused], refused


def test_odd_files_have_finite_rows_or_an_error_that_names_them_and_none_stops_the_others(tmp_path):
    """With a process a core, as when nobody says how many: the command once refused its own default."""
    heard, refused = odd_files(tmp_path)
    files = [tmp_path / f"{name}.wav" for name in sorted([*heard, *refused])]
    result = run(*files, "-o", tmp_path / "out.parquet", processes=())
    assert result.exit_code == 1
    errors = dict(line.split(": ", 1) for line in result.stderr.splitlines()[:-1])
    assert errors.keys() == {str(tmp_path / f"{name}.wav") for name in refused}
    for name, words in refused.items():
        assert words in errors[str(tmp_path / f"{name}.wav")], name
    assert result.stderr.splitlines()[-1] == f"groovemark: {len(refused)} of {len(files)} files failed"
    for row in pq.read_table(tmp_path / "out.parquet").to_pylist():
        file, *values = row.values()
        assert (values.count(None) == len(values)) == (file in errors), file
        assert file in errors or np.isfinite(np.array(values, np.float32)).all(), file
