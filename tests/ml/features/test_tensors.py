"""The sets that give a tensor a window, against librosa and Hugging Face."""

from __future__ import annotations

from pathlib import Path

import librosa
import numpy as np
import pytest
import soundfile
import torch
from sounds import DITHERED, EXACT, synthesize

from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.files import extract_file
from groovemark.ml.features.sets import AST_FBANK, FMA_42, GTZAN_57, LOG_MEL, MFCC_SEGMENTS

TENSORS = pytest.mark.parametrize("spec", [MFCC_SEGMENTS, LOG_MEL, AST_FBANK], ids=lambda spec: spec.name)
REFERENCE = Path(__file__).with_name("ast_fbank.npz")
"""What transformers' ASTFeatureExtractor, numpy alone, makes of 1.5 s of three sounds: the first 152 frames."""


def extract(spec, waveform: np.ndarray) -> np.ndarray:
    return Extractor(spec).extract(torch.from_numpy(waveform)[None])[0].numpy()


@pytest.mark.parametrize("kind", DITHERED)
def test_the_mfcc_of_three_seconds_are_librosas(kind):
    waveform = synthesize(kind, 3.0)
    expected = librosa.feature.mfcc(y=waveform, sr=22_050, n_mfcc=13).T
    np.testing.assert_allclose(extract(MFCC_SEGMENTS, waveform), expected, rtol=1e-3, atol=2e-3)


@pytest.mark.parametrize("kind", DITHERED)
def test_the_log_mel_spectrogram_is_librosas(kind):
    waveform = synthesize(kind, 3.0, sample_rate=16_000)
    mel = librosa.feature.melspectrogram(y=waveform, sr=16_000, n_fft=512, hop_length=256, n_mels=96).T[:187]
    np.testing.assert_allclose(extract(LOG_MEL, waveform), np.log10(10_000 * mel + 1), rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("kind", ["music", "noise", "silence"])
def test_the_filterbank_is_hugging_faces_within_two_ten_thousandths(kind):
    found = extract(AST_FBANK, synthesize(kind, 1.5, sample_rate=16_000))
    expected = np.load(REFERENCE)[kind]
    np.testing.assert_allclose(found[: len(expected)], expected, rtol=0, atol=2e-4)
    np.testing.assert_allclose(found[len(expected) :], np.broadcast_to(expected[-1], found[len(expected) :].shape))


@TENSORS
@pytest.mark.parametrize("kind", [*DITHERED, *EXACT])
@pytest.mark.parametrize("n_samples", [1, 5_000, 40_000])
def test_a_short_or_odd_sound_gives_a_whole_finite_tensor(spec, kind, n_samples):
    found = extract(spec, synthesize(kind, 2.0)[:n_samples])
    assert found.shape == spec.shape
    assert np.isfinite(found).all()


@TENSORS
def test_a_poisoned_waveform_is_nan_and_its_neighbour_keeps_its_bits(spec):
    track = synthesize("music", 2.0)
    poisoned = np.full_like(track, np.nan)
    rows = Extractor(spec).extract(torch.from_numpy(np.stack([poisoned, track])))
    assert rows[0].isnan().all()
    assert rows[1].numpy().tobytes() == extract(spec, track).tobytes()


def test_a_file_of_ten_seconds_gives_three_whole_segments(tmp_path):
    track = synthesize("music", 10.0)
    soundfile.write(tmp_path / "track.wav", track, 22_050)
    windows = extract_file(str(tmp_path / "track.wav"), "mfcc-segments").windows
    decoded = soundfile.read(tmp_path / "track.wav", dtype="float32")[0]
    assert windows.shape == (3, 130 * 13)
    assert windows[1].tobytes() == extract(MFCC_SEGMENTS, decoded[66_150:132_300]).tobytes()


def test_sets_of_columns_keep_the_identity_that_models_were_trained_with():
    assert FMA_42.sha256.startswith("4209bce1")
    assert GTZAN_57.sha256.startswith("80761f7e")
    assert len({spec.sha256 for spec in (MFCC_SEGMENTS, LOG_MEL, AST_FBANK)}) == 3
