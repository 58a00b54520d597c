from __future__ import annotations

import time
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import SAMPLE_RATE, synthesize

from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.sets import FMA_42
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.predict import TrackFailure, TrackPrediction, predict_audio


class Coin:
    """Two labels; the first column of a window, 0, 1, 2, …, says by how many tenths it is `heads`."""

    spec = ModelSpec("coin", "1", "fake", "genre", FMA_42, ("heads", "tails"))

    def run(self, batch: FeatureTable, /) -> np.ndarray:
        heads = np.clip(batch.numbers[:, 0] / 10, 0, 1)
        return np.stack([heads, 1 - heads], axis=1).astype(np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def sandbox(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with Sandbox("slow_target:run", processes=2) as one:
        yield one


def files(*names: str) -> list[tuple[str, str]]:
    return [(f"key {number}", f"/music/{name}") for number, name in enumerate(names)]


def test_probabilities_are_the_mean_over_the_windows(sandbox):
    (answer,) = predict_audio(files("0-4"), Coin(), sandbox)
    assert isinstance(answer, TrackPrediction)
    assert (answer.key, answer.title, answer.duration_s) == ("key 0", "title of 0-4", 120.0)
    np.testing.assert_allclose(answer.segments[:, 0], [0, 0.1, 0.2, 0.3], atol=1e-7)
    np.testing.assert_allclose(answer.probabilities, [0.15, 0.85], atol=1e-7)


def test_answers_come_in_the_order_of_the_files_however_long_each_takes(sandbox):
    names = ["0.4-1", "0-2", "0.2-3", "0-1", "0.1-2", "0-5"]
    answers = list(predict_audio(files(*names), Coin(), sandbox))
    assert [answer.title for answer in answers] == [f"title of {name}" for name in names]


def test_broken_files_fail_with_a_reason_and_the_others_succeed(sandbox):
    names = ["0-1", "bad", "0-2", "crash", "crash", "0-3", "bad"]
    answers = list(predict_audio(files(*names), Coin(), sandbox))
    assert [answer.key for answer in answers] == [f"key {number}" for number in range(7)]
    reasons = [answer.reason if isinstance(answer, TrackFailure) else None for answer in answers]
    assert reasons == [None, "undecodable", None, "decoder_crashed", "decoder_crashed", None, "undecodable"]


def test_progress_counts_every_answer_once(sandbox):
    counts = []
    list(predict_audio(files("0-1", "bad", "0.1-1", "0-1"), Coin(), sandbox, on_progress=counts.append))
    assert counts == [1, 2, 3, 4]


def test_no_more_files_than_twice_the_processes_are_in_flight(sandbox):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield f"key {taken}", "/music/0-1"

    answers = predict_audio(endless(), Coin(), sandbox)
    for answered in range(1, 30):
        next(answers)
        assert taken - answered <= 2 * sandbox.processes
    answers.close()


def test_stopping_begins_no_further_file_and_does_not_wait_for_a_long_one(sandbox):
    sandbox.warm()
    begun, stop_at = [], time.monotonic() + 0.5

    def source():
        for key, path in files("0-1", "0-1", "30-1", *["0-1"] * 100):
            begun.append(key)
            yield key, path

    started = time.monotonic()
    answers = list(predict_audio(source(), Coin(), sandbox, should_stop=lambda: time.monotonic() > stop_at))
    assert [answer.key for answer in answers] == ["key 0", "key 1"]
    assert len(begun) <= 2 + 2 * sandbox.processes
    assert time.monotonic() - started < 10


def test_stopping_before_the_first_file_reads_nothing(sandbox):
    def source():
        raise AssertionError("a file was asked for")
        yield

    assert list(predict_audio(source(), Coin(), sandbox, should_stop=lambda: True)) == []


def test_real_audio_goes_through_the_real_sandbox(tmp_path):
    soundfile.write(tmp_path / "good.mp3", synthesize("music", 2.0), SAMPLE_RATE)
    soundfile.write(tmp_path / "short.wav", synthesize("music", 0.2), SAMPLE_RATE)
    (tmp_path / "text.mp3").write_text("no audio")
    paths = [(name, tmp_path / name) for name in ("text.mp3", "good.mp3", "short.wav", "missing.wav")]
    with Sandbox() as real:
        answers = list(predict_audio(paths, Coin(), real))
    reasons = [answer.reason if isinstance(answer, TrackFailure) else "fine" for answer in answers]
    assert reasons == ["undecodable", "fine", "too_short", "undecodable"]
    assert answers[1].probabilities.sum() == pytest.approx(1)
    assert answers[1].duration_s == pytest.approx(2.0, abs=0.1)
