from __future__ import annotations

import numpy as np
import pytest
import soundfile
import torch
from sounds import SAMPLE_RATE, synthesize

from groovemark.errors import AudioRejected
from groovemark.ml.audio.decode import decode
from groovemark.ml.features import waveforms
from groovemark.ml.features.extractor import Extractor
from groovemark.ml.features.files import extract_file
from groovemark.ml.features.sets import FMA_42


def test_a_long_track_is_cut_into_windows_and_each_has_the_features_of_its_part(tmp_path):
    track = np.concatenate([synthesize("music", 30.0), synthesize("sweep", 16.0)])
    soundfile.write(tmp_path / "track.flac", track, SAMPLE_RATE)
    found = extract_file(str(tmp_path / "track.flac"), "fma-42")
    decoded = torch.from_numpy(decode(tmp_path / "track.flac", SAMPLE_RATE))
    window = 30 * SAMPLE_RATE
    parts = [decoded[None, start : start + window] for start in range(0, len(track), window)]
    expected = torch.cat([Extractor(FMA_42).extract(part) for part in parts]).numpy()
    assert found.windows.tobytes() == expected.tobytes()
    assert found.duration_s == pytest.approx(46.0)


def test_a_track_of_one_second_and_eight_channels_has_features(tmp_path):
    track = np.repeat(synthesize("music", 1.0, sample_rate=96_000)[:, None], 8, axis=1)
    soundfile.write(tmp_path / "track.wav", track, 96_000)
    assert extract_file(str(tmp_path / "track.wav"), "gtzan-57").windows.shape == (1, 57)


@pytest.mark.parametrize("poison", [np.nan, np.inf, 1e30])
def test_samples_that_are_not_finite_are_rejected_as_such(tmp_path, poison):
    track = synthesize("music", 1.0)
    track[5_000] = poison
    soundfile.write(tmp_path / "track.wav", track, 44_100, subtype="FLOAT")
    with pytest.raises(AudioRejected) as caught:
        extract_file(str(tmp_path / "track.wav"), "gtzan-57")
    assert caught.value.reason == "not_finite"


def test_a_track_of_more_tensors_than_a_child_may_answer_is_too_long(tmp_path, monkeypatch):
    """It used to be read to its end, three times, and to fail as if the decoder had crashed."""
    monkeypatch.setattr(waveforms, "NUMBERS_MAX", 2 * 187 * 96 + 1)
    for seconds in (6.0, 9.0):
        soundfile.write(tmp_path / f"{seconds}.wav", synthesize("music", seconds), SAMPLE_RATE)
    assert extract_file(str(tmp_path / "6.0.wav"), "log-mel").windows.shape == (2, 187 * 96)
    with pytest.raises(AudioRejected, match="log-mel takes at most 0 min of audio") as caught:
        extract_file(str(tmp_path / "9.0.wav"), "log-mel")
    assert caught.value.reason == "too_long"
