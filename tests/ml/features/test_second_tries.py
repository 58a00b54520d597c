"""A decoder that crashes may have been unlucky: its file is tried again, and not for ever."""

from __future__ import annotations

import logging
from itertools import chain
from pathlib import Path

import pytest

from groovemark.errors import AudioRejected
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features import file_extractor
from groovemark.ml.features.file_extractor import TRIES, FileExtractor, NamedFile
from groovemark.ml.features.sets import FMA_42

ML_TESTS = Path(__file__).parents[1]


@pytest.fixture(autouse=True)
def targets(monkeypatch):
    monkeypatch.setenv("PYTHONPATH", str(ML_TESTS))


def extract(path):
    with FileExtractor(Sandbox("slow_target:run")) as extractor:
        ((_, found),) = chain.from_iterable(extractor.extract([NamedFile("a", path)], [FMA_42]))
    return found


def test_file_that_crashes_every_decoder_is_rejected_after_three_tries(caplog):
    found = extract(Path("/music/crash"))
    assert isinstance(found, AudioRejected)
    assert found.reason == "decoder_crashed"
    assert [record.args[1:3] for record in caplog.records] == [(number, TRIES) for number in range(1, TRIES)]


def test_file_whose_first_decoder_crashed_succeeds(tmp_path):
    """slow_target goes by the name: what `unlucky` leads to is another once the first crash was told."""
    (tmp_path / "unlucky").mkdir()

    class Luck(logging.Handler):
        def emit(self, record):
            (tmp_path / "unlucky").rmdir()

    luck = Luck()
    file_extractor.logger.addHandler(luck)
    try:
        (found,) = extract(tmp_path / "unlucky")
    finally:
        file_extractor.logger.removeHandler(luck)
    assert found.title == "title of unlucky"


def test_file_that_is_merely_damaged_is_not_tried_again(caplog):
    found = extract(Path("/music/bad"))
    assert (found.reason, caplog.records) == ("undecodable", [])
