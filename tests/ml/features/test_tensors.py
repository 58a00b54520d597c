"""The sets that give a tensor a window, against librosa and Hugging Face."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
from extracting import extract
from sounds import DITHERED, synthesize

from groovemark.ml.features.files import extract_file
from groovemark.ml.features.sets import (
    AST_FBANK,
    AST_FBANK_3S,
    FMA_42,
    GTZAN_57,
    LOG_MEL,
    MFCC_SEGMENTS,
    WAVEFORM_10S,
)

REFERENCE = Path(__file__).with_name("ast_fbank.npz")
"""What transformers' ASTFeatureExtractor, numpy alone, makes of 1.5 s of three sounds: the first 152 frames."""


@pytest.mark.parametrize("kind", DITHERED)
def test_the_mfcc_of_three_seconds_are_librosas(kind):
    waveform = synthesize(kind, 3.0)
    expected = librosa.feature.mfcc(y=waveform, sr=22_050, n_mfcc=13).T
    np.testing.assert_allclose(extract(MFCC_SEGMENTS, waveform)[0], expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("kind", DITHERED)
def test_the_log_mel_spectrogram_is_librosas(kind):
    waveform = synthesize(kind, 3.0, sample_rate=16_000)
    mel = librosa.feature.melspectrogram(y=waveform, sr=16_000, n_fft=512, hop_length=256, n_mels=96).T[:187]
    np.testing.assert_allclose(extract(LOG_MEL, waveform)[0], np.log10(10_000 * mel + 1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["music", "noise", "silence"])
def test_the_filterbank_is_hugging_faces_within_two_ten_thousandths(kind):
    found = extract(AST_FBANK, synthesize(kind, 1.5, sample_rate=16_000))[0]
    expected = np.load(REFERENCE)[kind]
    np.testing.assert_allclose(found[: len(expected)], expected, rtol=0, atol=2e-4)
    np.testing.assert_allclose(found[len(expected) :], np.broadcast_to(expected[-1], found[len(expected) :].shape))


@pytest.mark.parametrize("is_compiled", [True, False])
def test_the_filterbank_of_three_seconds_is_that_of_ten_and_a_shorter_window_repeats(is_compiled):
    waveform = synthesize("music", 3.0, sample_rate=16_000)
    whole, long, half = (
        extract(spec, waveform[:length], is_compiled=is_compiled)[0]
        for spec, length in ((AST_FBANK_3S, 48_000), (AST_FBANK, 48_000), (AST_FBANK_3S, 24_000))
    )
    np.testing.assert_allclose(whole, long[:298], rtol=0, atol=1e-6)
    assert half.shape == (298, 128)
    np.testing.assert_allclose(half[:148], whole[:148], rtol=0, atol=1e-5)
    assert half[148:296].tobytes() == half[:148].tobytes()
    assert half[296:].tobytes() == half[:2].tobytes()


@pytest.mark.parametrize("is_compiled", [True, False])
def test_a_window_of_samples_is_the_waveform_itself_and_a_shorter_one_repeats(is_compiled):
    waveform = synthesize("music", 10.0, sample_rate=16_000)
    whole, part = (extract(WAVEFORM_10S, waveform[:n], is_compiled=is_compiled)[0] for n in (160_000, 100_000))
    assert whole.tobytes() == waveform.tobytes()
    assert part.tobytes() == np.concatenate([waveform[:100_000], waveform[:60_000]]).tobytes()


def test_a_file_of_25_s_gives_three_windows_of_samples_and_one_of_24_s_two(tmp_path):
    track = synthesize("music", 25.0, sample_rate=16_000)
    for seconds, windows in ((25, 3), (24, 2)):
        soundfile.write(tmp_path / "track.wav", track[: seconds * 16_000], 16_000, subtype="FLOAT")
        found = extract_file(str(tmp_path / "track.wav"), "waveform-10s").windows
        assert found.shape == (windows, 160_000)
        assert found[1].tobytes() == track[160_000:320_000].tobytes()


def test_a_file_of_ten_seconds_gives_three_whole_segments(tmp_path):
    track = synthesize("music", 10.0)
    soundfile.write(tmp_path / "track.wav", track, 22_050)
    windows = extract_file(str(tmp_path / "track.wav"), "mfcc-segments").windows
    decoded = soundfile.read(tmp_path / "track.wav", dtype="float32")[0]
    assert windows.shape == (3, 130 * 13)
    assert windows[1].tobytes() == extract(MFCC_SEGMENTS, decoded[66_150:132_300])[0].tobytes()


def test_sets_of_columns_keep_the_identity_that_models_were_trained_with():
    assert FMA_42.sha256.startswith("4209bce1")
    assert GTZAN_57.sha256.startswith("80761f7e")
    assert len({spec.sha256 for spec in (MFCC_SEGMENTS, LOG_MEL, AST_FBANK, AST_FBANK_3S, WAVEFORM_10S)}) == 5
