"""What holds for every set that is computed from audio."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from extracting import AUDIO_SETS, WAYS, extract
from sounds import DITHERED, EXACT, synthesize

from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.sets import FEATURE_SETS


def neighbours(track: np.ndarray) -> dict[str, np.ndarray]:
    """By what they are, compared with the track."""
    quiet = 0.01 * track
    return {
        "louder": synthesize("noise", 1.5)[: len(track)] * 5,
        "longer": synthesize("sweep", 3.2),
        "shorter": synthesize("music", 0.01),
        "of one sample": track[:1],
        "silent": np.zeros_like(track),
        "broken": np.full_like(track, np.nan),
        "broken, and longer": np.full(60_000, -np.inf, np.float32),
        "the same": track,
        "quieter": quiet,
    }


@AUDIO_SETS
def test_a_track_has_the_same_bits_alone_and_among_any_neighbours(spec):
    track = synthesize("music", 1.5)
    alone = extract(spec, track)[0]
    others = neighbours(track)
    for name, other in others.items():
        assert extract(spec, other, track)[1].tobytes() == alone.tobytes(), name
    among = extract(spec, *others.values(), track)
    assert among[-1].tobytes() == among[list(others).index("the same")].tobytes() == alone.tobytes()


@AUDIO_SETS
def test_where_tracks_are_computed_together_neighbours_move_no_more_than_rounding(spec):
    """As on a graphics card: tracks of one length share every product."""
    track = synthesize("music", 1.5)
    others = neighbours(track)
    alone = extract(spec, track, is_compiled=False)[0]
    among = extract(spec, *others.values(), track, is_compiled=False)
    for row in (among[-1], among[list(others).index("the same")]):
        np.testing.assert_allclose(row, alone, rtol=1e-4, atol=1e-6)
    for name, other, row in zip(others, others.values(), among, strict=False):
        assert np.isfinite(row).all() == np.isfinite(other).all(), name


@AUDIO_SETS
@WAYS
def test_more_tracks_than_are_computed_at_once_keep_their_order(spec, is_compiled, monkeypatch):
    monkeypatch.setattr("groovemark.ml.features.extractor.SAMPLES_AT_ONCE", 3 * spec.audio.sample_rate)
    tracks = [synthesize("noise", 0.5 + 0.5 * (number % 2), seed=number) for number in range(9)]
    rows = extract(spec, *tracks, is_compiled=is_compiled)
    for track, row in zip(tracks, rows, strict=True):
        np.testing.assert_allclose(row, extract(spec, track)[0], rtol=1e-3, atol=1e-5)


@AUDIO_SETS
@WAYS
def test_the_bits_do_not_depend_on_torchs_number_of_threads(spec, is_compiled):
    track = synthesize("music", 3.0)
    threads = torch.get_num_threads()
    try:
        found = set()
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            found.add(extract(spec, track, track, is_compiled=is_compiled).tobytes())
            assert torch.get_num_threads() == count
    finally:
        torch.set_num_threads(threads)
    assert len(found) == 1


@AUDIO_SETS
@WAYS
def test_the_bits_do_not_depend_on_the_precision_that_a_program_trains_with(spec, is_compiled):
    """Products in bfloat16 once moved the features of whoever had allowed them."""
    track = synthesize("music", 1.0)
    expected = extract(spec, track, is_compiled=is_compiled)
    torch.set_float32_matmul_precision("medium")
    try:
        with torch.autocast("cpu", dtype=torch.bfloat16):
            assert extract(spec, track, is_compiled=is_compiled).tobytes() == expected.tobytes()
        assert torch.get_float32_matmul_precision() == "medium"
    finally:
        torch.set_float32_matmul_precision("highest")


def digests() -> str:
    """Of every set's features of one sound, one line a set; computed in this process."""
    track = synthesize("music", 3.0)
    specs = [spec for spec in FEATURE_SETS.values() if spec.audio is not None]
    return "".join(f"{spec.name} {hashlib.sha256(extract(spec, track)).hexdigest()}\n" for spec in specs)


def test_the_bits_do_not_depend_on_the_environments_number_of_threads():
    count = "1" if torch.get_num_threads() > 1 else "3"
    names = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS")
    folders = [str(Path(__file__).parent), str(Path(__file__).parents[1])]
    found = subprocess.run(
        [sys.executable, "-c", "from test_laws import digests; print(digests(), end='')"],
        env=os.environ | dict.fromkeys(names, count) | {"PYTHONPATH": os.pathsep.join(folders)},
        capture_output=True,
        text=True,
        check=True,
    )
    assert found.stdout == digests()


@AUDIO_SETS
@WAYS
def test_every_number_is_finite_and_in_its_range_however_short_or_odd_the_sound(spec, is_compiled):
    sounds = [(kind, n_samples) for kind in (*DITHERED, *EXACT) for n_samples in (1, 513, 22_050)]
    rows = extract(spec, *(synthesize(kind, 1.0)[:n] for kind, n in sounds), is_compiled=is_compiled)
    assert rows.dtype == np.float32
    assert rows.shape == (len(sounds), *spec.window_shape)
    for sound, row in zip(sounds, rows, strict=True):
        assert np.isfinite(row).all(), sound
        for column, value in zip(spec.columns, row, strict=spec.shape == ()):
            assert column.minimum is None or value >= column.minimum, (sound, column.name)
            assert column.maximum is None or value <= column.maximum, (sound, column.name)


@AUDIO_SETS
@WAYS
def test_samples_that_are_not_finite_cost_their_own_track_only(spec, is_compiled):
    track = synthesize("music", 1.0)
    poisoned = []
    for poison in (np.nan, np.inf, -np.inf, 1e30, -3e38):
        poisoned.append(track.copy())
        poisoned[-1][7_000] = poison
    rows = extract(spec, *poisoned, track, is_compiled=is_compiled)
    assert np.isnan(rows[:-1]).all()
    np.testing.assert_allclose(rows[-1], extract(spec, track)[0], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("name", ["mfcc-segments", "log-mel", "ast-fbank", "ast-fbank-3s", "waveform-10s"])
def test_a_waveform_longer_than_the_window_still_gives_the_sets_shape(name):
    spec = FEATURE_SETS[name]
    track = synthesize("noise", spec.audio.window_s + 1, sample_rate=spec.audio.sample_rate)
    assert extract(spec, track)[0].shape == spec.shape


@pytest.mark.parametrize(
    ("waveforms", "lengths", "message"),
    [
        (torch.zeros(3, 100), [100, 0, 50], "waveform 1 cannot have 0 samples"),
        (torch.zeros(3, 100), [100, 50, 101], "waveform 2 cannot have 101 samples"),
        (torch.zeros(3, 0), None, "waveform 0 cannot have 0 samples"),
        (torch.zeros(3, 100), [100], "3 waveforms need as many lengths, not 1"),
        (torch.zeros(100), None, "not \\(100,\\)"),
        (torch.zeros(3, 100, dtype=torch.float64), None, "torch.float64"),
        (torch.zeros(3, 100, dtype=torch.int16), None, "torch.int16"),
    ],
)
def test_waveforms_that_are_none_are_refused_by_name(waveforms, lengths, message):
    with pytest.raises(ValueError, match=message):
        Extractor(FEATURE_SETS["fma-42"]).extract(waveforms, lengths)


@AUDIO_SETS
@WAYS
def test_no_waveforms_give_no_rows(spec, is_compiled):
    found = Extractor(spec, is_compiled=is_compiled).extract(torch.zeros(0, 100))
    assert found.shape == (0, *spec.window_shape)
