"""Beats and onsets of given strengths: librosa's, frame for frame."""

from __future__ import annotations

import librosa
import numpy as np
import pytest

from groovemark.ml.features.beats import beat_frames
from groovemark.ml.features.onsets import onset_frames

RATE, HOP = 22_050, 512


def strength(seed: int, n_frames: int = 400) -> np.ndarray:
    """(frame,) of pulses that come and go, over noise; the first frames are silent, as the delay leaves them."""
    random = np.random.default_rng(seed)
    pulses = (np.arange(n_frames) % random.integers(12, 60) == 0) * random.uniform(0, 8, n_frames)
    found = pulses + random.uniform(0, 1.5, n_frames) * (np.arange(n_frames) > n_frames * random.uniform(0, 0.5))
    found[:3] = 0.0
    return found.astype(np.float32)


@pytest.mark.parametrize("tempo_bpm", [317.2, 120.0, 61.5, 7.6])
def test_the_beats_are_librosas(tempo_bpm):
    for seed in range(8):
        for n_frames in (5, 47, 400):
            pulses = strength(seed, n_frames)
            _, expected = librosa.beat.beat_track(onset_envelope=pulses, sr=RATE, hop_length=HOP, bpm=tempo_bpm)
            found = beat_frames(pulses, tempo_bpm, RATE, HOP)
            np.testing.assert_array_equal(found, expected, err_msg=f"{seed} {n_frames}")


def test_the_onsets_are_librosas():
    for seed in range(20):
        for n_frames in (1, 4, 47, 400):
            pulses = strength(seed, n_frames)
            expected = librosa.onset.onset_detect(onset_envelope=pulses, sr=RATE, hop_length=HOP)
            np.testing.assert_array_equal(onset_frames(pulses, RATE, HOP), expected, err_msg=f"{seed} {n_frames}")


def test_the_beats_of_a_metronome_are_its_clicks():
    clicks = np.zeros(500, np.float32)
    clicks[10::25] = 1.0
    found = beat_frames(clicks, 60 * RATE / HOP / 25, RATE, HOP)
    np.testing.assert_array_equal(found[:-1], np.flatnonzero(clicks)[: len(found) - 1])
    assert len(found) >= 18


@pytest.mark.parametrize("value", [0.0, np.nan, np.inf])
def test_where_nothing_rises_or_nothing_is_finite_there_is_neither_beat_nor_onset(value):
    broken = np.full(300, value, np.float32)
    assert len(beat_frames(broken, 120.0, RATE, HOP)) == 0
    assert len(onset_frames(broken, RATE, HOP)) == 0
