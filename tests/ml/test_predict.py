from __future__ import annotations

import time
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
from sounds import SAMPLE_RATE, synthesize

from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.file_extractor import FILES_AHEAD, FileExtractor, NamedFile
from groovemark.ml.features.sets import FMA_42
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.predict import TrackFailure, TrackPrediction, predict_audio


class Coin:
    """Two labels; the first column of a window, 0, 1, 2, …, says by how many tenths it is `heads`."""

    def __init__(self):
        self.calls = 0

    spec = ModelSpec("coin", "1", "fake", "genre", FMA_42, ("heads", "tails"))

    def run(self, batch: FeatureTable, /) -> np.ndarray:
        self.calls += 1
        heads = np.clip(batch.numbers[:, 0] / 10, 0, 1)
        return np.stack([heads, 1 - heads], axis=1).astype(np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def extractor(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(Path(__file__).parent))
    with FileExtractor(Sandbox("slow_target:run", processes=2)) as one:
        yield one


def files(*names: str) -> list[NamedFile]:
    return [NamedFile(f"key {number}", Path("/music", name)) for number, name in enumerate(names)]


def predict(*arguments, **options):
    return list(chain.from_iterable(predict_audio(*arguments, **options)))


def test_probabilities_are_the_mean_over_the_windows(extractor):
    (answer,) = predict(files("0-4"), Coin(), extractor)
    assert isinstance(answer, TrackPrediction)
    assert (answer.key, answer.title, answer.duration_s) == ("key 0", "title of 0-4", 120.0)
    np.testing.assert_allclose(answer.segments[:, 0], [0, 0.1, 0.2, 0.3], atol=1e-7)
    np.testing.assert_allclose(answer.probabilities, [0.15, 0.85], atol=1e-7)


def test_answers_come_in_the_order_of_the_files_however_long_each_takes(extractor):
    names = ["0.4-1", "0-2", "0.2-3", "0-1", "0.1-2", "0-5"]
    answers = predict(files(*names), Coin(), extractor)
    assert [answer.title for answer in answers] == [f"title of {name}" for name in names]


def test_one_call_of_the_model_answers_for_several_files_and_each_gets_its_own(extractor):
    model = Coin()
    names = ["0-3", "bad", "0-1", "0-2"]
    (answers,) = predict_audio(files(*names), model, extractor, within_s=60)
    assert model.calls == 1
    good = [answer for answer in answers if isinstance(answer, TrackPrediction)]
    assert [(answer.title, len(answer.segments), len(answer.features)) for answer in good] == [
        ("title of 0-3", 3, 3),
        ("title of 0-1", 1, 1),
        ("title of 0-2", 2, 2),
    ]
    np.testing.assert_allclose([answer.probabilities[0] for answer in good], [0.1, 0, 0.05], atol=1e-7)


def test_what_is_finished_is_not_kept_waiting_by_a_long_file(extractor):
    extractor.warm()
    chunks = predict_audio(files("0-1", "0-1", "30-1"), Coin(), extractor, within_s=0.3)
    assert [answer.key for answer in next(chunks)] == ["key 0", "key 1"]
    chunks.close()


def test_broken_files_fail_with_a_reason_and_the_others_succeed(extractor):
    names = ["0-1", "bad", "0-2", "crash", "crash", "0-3", "bad"]
    answers = predict(files(*names), Coin(), extractor)
    assert [answer.key for answer in answers] == [f"key {number}" for number in range(7)]
    reasons = [answer.reason if isinstance(answer, TrackFailure) else None for answer in answers]
    assert reasons == [None, "undecodable", None, "decoder_crashed", "decoder_crashed", None, "undecodable"]


def test_progress_counts_every_answer_once(extractor):
    counts = []
    predict(files("0-1", "bad", "0.1-1", "0-1"), Coin(), extractor, on_progress=counts.append)
    assert counts == [1, 2, 3, 4]


def test_no_more_than_a_few_files_for_each_process_are_in_flight(extractor):
    taken = 0

    def endless():
        nonlocal taken
        while True:
            taken += 1
            yield NamedFile(f"key {taken}", Path("/music/0-1"))

    answers = predict_audio(endless(), Coin(), extractor, at_once=1)
    for answered in range(1, 30):
        next(answers)
        assert taken - answered <= 2 * FILES_AHEAD
    answers.close()


def test_stopping_begins_no_further_file_and_does_not_wait_for_a_long_one(extractor):
    extractor.warm()
    begun, stop_at = [], time.monotonic() + 0.5

    def source():
        for file in files("0-1", "0-1", "30-1", *["0-1"] * 100):
            begun.append(file.key)
            yield file

    started = time.monotonic()
    answers = predict(source(), Coin(), extractor, should_stop=lambda: time.monotonic() > stop_at)
    assert [answer.key for answer in answers] == ["key 0", "key 1"]
    assert len(begun) <= 2 + 2 * FILES_AHEAD
    assert time.monotonic() - started < 10


def test_stopping_before_the_first_file_reads_nothing(extractor):
    def source():
        raise AssertionError("a file was asked for")
        yield

    assert predict(source(), Coin(), extractor, should_stop=lambda: True) == []


def test_real_audio_goes_through_the_real_sandbox(tmp_path):
    soundfile.write(tmp_path / "good.mp3", synthesize("music", 2.0), SAMPLE_RATE)
    soundfile.write(tmp_path / "short.wav", synthesize("music", 0.2), SAMPLE_RATE)
    (tmp_path / "text.mp3").write_text("no audio")
    paths = [NamedFile(name, tmp_path / name) for name in ("text.mp3", "good.mp3", "short.wav", "missing.wav")]
    with FileExtractor.open("cpu") as real:
        answers = predict(paths, Coin(), real)
    reasons = [answer.reason if isinstance(answer, TrackFailure) else "fine" for answer in answers]
    assert reasons == ["undecodable", "fine", "too_short", "undecodable"]
    assert answers[1].probabilities.sum() == pytest.approx(1)
    assert answers[1].duration_s == pytest.approx(2.0, abs=0.1)
