from __future__ import annotations

import librosa
import numpy as np
import pytest
import soxr
import torch
from sounds import synthesize

from groovemark.ml.features import constant_q
from groovemark.ml.features.filterbanks import TUNING_EDGES

RATE, HOP = 22_050, 512


def energies(waveform: np.ndarray, tuning: int) -> dict[str, np.ndarray]:
    """(frame, 12) of both ways."""
    filters = torch.tensor(constant_q.filters(RATE, tuning))
    return {
        "compiled": constant_q.compiled_chroma_energy(waveform, filters, HOP),
        "tensors": constant_q.chroma_energy(torch.from_numpy(waveform)[None], filters[None], HOP)[0].numpy(),
    }


@pytest.mark.parametrize(
    ("kind", "n_samples", "tuning"), [("music", 30_001, 67), ("noise", 9_000, 0), ("noise", 1, 50)]
)
def test_the_chroma_is_librosas_however_much_shorter_than_its_filters_the_sound_is(kind, n_samples, tuning):
    """The lowest filters span 3 seconds; beyond its ends a sound is silent, as in librosa."""
    waveform = synthesize(kind, 2.0)[:n_samples]
    expected = librosa.feature.chroma_cqt(y=waveform, sr=RATE, tuning=TUNING_EDGES[tuning], norm=None).T
    for way, energy in energies(waveform, tuning).items():
        np.testing.assert_allclose(energy, expected, rtol=1e-4, atol=1e-7 * expected.max(), err_msg=way)


@pytest.mark.parametrize("pitch_class", [0, 7, 11])
def test_a_tone_falls_into_its_own_pitch_class_in_every_octave(pitch_class):
    time_s = np.arange(2 * RATE) / RATE
    for octave in range(2, 7):
        frequency_hz = 440.0 * 2 ** (octave - 5 + (pitch_class + 3) / 12)
        tone = np.sin(2 * np.pi * frequency_hz * time_s).astype(np.float32)
        for energy in energies(tone, 50).values():
            assert (energy[20:-20].argmax(axis=1) == pitch_class).all()


@pytest.mark.parametrize("n_samples", [1, 2, 511, 512, 513, 10_001])
def test_half_the_rate_is_soxrs(n_samples):
    waveform = synthesize("noise", 1.0)[:n_samples]
    halved = constant_q.halved(torch.from_numpy(waveform)[None])[0].numpy()
    np.testing.assert_allclose(halved, soxr.resample(waveform, 2, 1, quality="HQ"), atol=1e-6)


def test_tonal_centroids_are_librosas():
    energy = np.random.default_rng(1).uniform(0, 3, (40, 12)).astype(np.float32)
    found = constant_q.tonnetz(torch.from_numpy(energy)[None])[0].numpy()
    np.testing.assert_allclose(found, librosa.feature.tonnetz(chroma=energy.T).T, atol=1e-6)


def test_silence_lies_in_the_middle_of_every_circle():
    assert constant_q.tonnetz(torch.zeros(1, 5, 12)).abs().max() == 0


def test_a_fifth_up_is_a_twelfth_of_the_way_round_the_circle_of_fifths():
    single = constant_q.tonnetz(torch.eye(12)[None])[0].double().numpy()  # (pitch class, 6)
    angles = np.arctan2(single[:, 0], single[:, 1])[np.arange(13) * 7 % 12]
    np.testing.assert_allclose(np.diff(angles) % (2 * np.pi), 2 * np.pi / 12, atol=1e-5)
