"""Answers known without an oracle, and the law that no function looks across its batch."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sounds import synthesize

from groovemark.ml.features import filterbanks, functional, rhythm, tuning

N_FFT, HOP, RATE = 2048, 512, 22_050


@pytest.fixture(scope="module")
def window():
    return torch.tensor(filterbanks.hann(N_FFT))


@pytest.fixture(scope="module")
def frequencies():
    return torch.tensor(filterbanks.bin_frequencies(RATE, N_FFT))


def waveforms(*kinds: str) -> torch.Tensor:
    return torch.stack([torch.from_numpy(synthesize(kind, 2.0)) for kind in kinds])


@pytest.mark.parametrize("length", [1, 511, 512, 513, 40_000])
def test_the_inverse_transform_gives_the_waveform_back(window, length):
    waveform = waveforms("music")[:, :length]
    spectra = functional.stft(waveform, window, HOP)
    assert spectra.shape == (1, 1 + length // HOP, N_FFT // 2 + 1)
    torch.testing.assert_close(functional.istft(spectra, window, HOP, length), waveform, atol=1e-6, rtol=0)


def test_the_centroid_of_a_tone_is_its_frequency_and_of_silence_zero(window, frequencies):
    magnitude, _ = functional.magnitude_and_power(functional.stft(waveforms("tone", "silence"), window, HOP))
    centroid = functional.spectral_centroid(magnitude, frequencies)[:, 4:-4]
    assert centroid[0].mean().item() == pytest.approx(440, abs=2)
    assert centroid[1].abs().max() == 0


def test_the_bandwidth_of_two_equal_tones_is_half_their_distance(frequencies):
    magnitude = torch.zeros(1, 1, len(frequencies))
    magnitude[..., [100, 300]] = 1.0
    centroid = functional.spectral_centroid(magnitude, frequencies)
    bandwidth = functional.spectral_bandwidth(magnitude, frequencies, centroid)
    assert bandwidth.item() == pytest.approx(100 * RATE / N_FFT, rel=1e-6)


def test_rolloff_is_the_bin_that_completes_85_percent(frequencies):
    magnitude = torch.zeros(1, 1, len(frequencies))
    magnitude[..., :100] = 1.0
    assert functional.spectral_rolloff(magnitude, frequencies).item() == frequencies[84].item()


def test_a_square_wave_crosses_zero_twice_a_period():
    square = torch.sign(torch.sin(2 * torch.pi * 100 * torch.arange(44_100) / RATE + 0.1))[None]
    rates = functional.zero_crossing_rate(square, N_FFT, HOP)[:, 4:-4]
    assert rates.mean().item() == pytest.approx(200 / RATE, rel=0.02)


def test_the_root_mean_square_of_a_sine_is_its_amplitude_over_root_two():
    rms = functional.root_mean_square(waveforms("tone"), N_FFT, HOP)[:, 4:-4]
    assert rms.mean().item() == pytest.approx(0.5 / 2**0.5, rel=1e-3)


def test_decibels_are_cut_below_each_items_own_maximum():
    power = torch.tensor([[1e6, 1e-9], [1.0, 1e-9]])
    assert functional.decibels(power).tolist() == [[60.0, -20.0], [0.0, -80.0]]


def test_a_sustained_tone_is_harmonic_and_a_click_percussive(window):
    sounds = waveforms("tone", "impulse")
    spectra = functional.stft(sounds, window, HOP)
    mask = functional.harmonic_mask(functional.magnitude_and_power(spectra)[0])
    harmonic = functional.istft(spectra * mask, window, HOP, sounds.shape[1])
    share = harmonic.square().sum(dim=1) / sounds.square().sum(dim=1)
    assert share[0] > 0.99
    assert share[1] < 0.01


@pytest.mark.parametrize("cents", [-40, -10, 0, 20, 45])
def test_the_tuning_of_a_detuned_chord_is_found(window, cents):
    time_s = torch.arange(RATE * 2) / RATE
    chord = torch.zeros(len(time_s))
    for semitones in (-5, 0, 4, 7, 12):
        chord += 0.1 * torch.sin(2 * torch.pi * 440 * 2 ** ((semitones + cents / 100) / 12) * time_s)
    _, power = functional.magnitude_and_power(functional.stft(chord[None], window, HOP))
    step = tuning.tuning_steps(power, RATE)[0]
    assert filterbanks.TUNING_EDGES[step] == pytest.approx(cents / 100, abs=0.06)


def test_onsets_stand_where_the_level_rises():
    level = torch.full((1, 40, 128), -60.0)
    level[:, 20:] = 0.0
    for aggregate in ("mean", "median"):
        strength = rhythm.onset_strength(level, aggregate=aggregate, lead_frames=2)
        assert strength.argmax().item() == 22
        assert strength.sum().item() == pytest.approx(60.0)


def test_the_median_of_the_rises_ignores_a_minority_of_bands():
    level = torch.zeros(1, 10, 128)
    level[:, 5:, :60] = 30.0
    assert rhythm.onset_strength(level, aggregate="median", lead_frames=2).abs().max() == 0
    assert rhythm.onset_strength(level, aggregate="mean", lead_frames=2).max() > 10


def test_autocorrelation_is_one_at_lag_zero_and_peaks_at_the_period():
    strength = torch.zeros(1, 400)
    strength[:, ::25] = 1.0
    correlation = rhythm.mean_autocorrelation(strength, 344)[0]
    assert correlation[0].item() == pytest.approx(1.0, abs=1e-6)
    assert correlation[10:40].argmax().item() + 10 == 25


def test_a_batch_gives_what_its_items_give_alone(window, frequencies):
    sounds = waveforms("music", "silence", "noise", "tone")

    def everything(batch: torch.Tensor) -> list[torch.Tensor]:
        spectra = functional.stft(batch, window, HOP)
        magnitude, power = functional.magnitude_and_power(spectra)
        mel_db = functional.decibels(power @ torch.tensor(filterbanks.mel(RATE, N_FFT, 128)))
        strength = rhythm.onset_strength(mel_db, aggregate="median", lead_frames=2)
        centroid = functional.spectral_centroid(magnitude, frequencies)
        steps = tuning.tuning_steps(power, RATE)
        filters = torch.stack([torch.tensor(filterbanks.chroma(RATE, N_FFT, int(step))) for step in steps])
        return [
            functional.means_and_variances(functional.root_mean_square(batch, N_FFT, HOP)),
            functional.means(functional.zero_crossing_rate(batch, N_FFT, HOP)),
            functional.means(functional.spectral_rolloff(magnitude, frequencies)),
            functional.means(functional.spectral_bandwidth(magnitude, frequencies, centroid)),
            functional.means(functional.spectral_contrast(magnitude, filterbanks.octave_bands(RATE, N_FFT))),
            functional.means(functional.chromagram(power, filters)),
            functional.means(functional.harmonic_mask(magnitude)),
            rhythm.tempo(strength, RATE, HOP),
        ]

    together = everything(sounds)
    for item in range(len(sounds)):
        for whole, alone in zip(together, everything(sounds[item : item + 1]), strict=True):
            np.testing.assert_allclose(whole[item], alone[0], rtol=1e-5, atol=1e-6)
