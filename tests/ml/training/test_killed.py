"""Trainings that are killed and started again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
from importlib.util import find_spec
from itertools import chain
from pathlib import Path

import pytest
import taught_target
from tiny_encoder import needs_text_libraries, write_tiny_encoder
from waveform_checkpoints import import_small

import groovemark.ml.models
from groovemark.ml.models.registry import FAMILIES

TAUGHT_IN_EPOCHS = [name for name, family in FAMILIES.items() if family.keeps_checkpoints]
NEEDED = {
    "text": needs_text_libraries,
    "waveform": pytest.mark.skipif(find_spec("transformers") is None, reason="needs transformers"),
}
EPOCHS = 12


def start(**settings_by_folder: dict[str, object]) -> subprocess.Popen[str]:
    """Trainings on the processor: on a graphics card not every sum has the same bits twice."""
    jobs = chain.from_iterable((folder, json.dumps(settings)) for folder, settings in settings_by_folder.items())
    return subprocess.Popen(
        [sys.executable, taught_target.__file__, "transformer", *jobs],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def epochs_in(lines: list[str]) -> list[str]:
    """What the lines say of epochs, without the pace, such as `epoch 3 of 12, loss 0.913`."""
    found = [re.search(r"epoch \d+ of \d+, loss [\d.]+", line) for line in lines]
    return [match.group() for match in found if match]


def test_a_process_killed_in_mid_training_goes_on_where_it_was_and_ends_with_the_same_bytes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    kept: dict[str, object] = {"epochs": EPOCHS, "checkpoints": "checkpoints"}
    process = start(killed=kept)
    assert process.stdout is not None
    while "epoch 3 of" not in (line := process.stdout.readline()):
        assert line, "it ended before it could be killed"
    process.send_signal(signal.SIGKILL)
    process.communicate()
    assert process.returncode == -signal.SIGKILL
    assert not Path("killed").exists()

    lines = epochs_in(start(resumed=kept, whole={"epochs": EPOCHS}).communicate()[0].splitlines())
    resumed, whole = lines[:-EPOCHS], lines[-EPOCHS:]
    assert 0 < len(resumed) <= EPOCHS - 3, "it did not go on from an epoch after the third"
    assert resumed == whole[-len(resumed) :]
    assert contents(Path("resumed")) == contents(Path("whole"))


@pytest.mark.parametrize("family", [pytest.param(name, marks=NEEDED.get(name, ())) for name in TAUGHT_IN_EPOCHS])
def test_a_fit_broken_off_in_its_second_network_goes_on_there(family: str, tmp_path: Path) -> None:
    settings: dict[str, object] = {"epochs": 3}
    if family == "text":
        settings["encoder"] = str(write_tiny_encoder(tmp_path / "encoder"))
    if family == "waveform":
        settings["base"] = str(import_small(tmp_path, "hubert"))
    if family == "transformer":
        settings["temperature"] = 0.0  # which takes a network of the inner fold
    whole: list[str] = []
    taught_target.taught(family, tmp_path / "whole", whole.append, **settings)
    assert [line[:12] for line in epochs_in(whole)] == 2 * ["epoch 1 of 3", "epoch 2 of 3", "epoch 3 of 3"]

    settings["checkpoints"] = str(tmp_path / "checkpoints")
    lines: list[str] = []

    def break_off(line: str) -> None:
        lines.append(line)
        if len(epochs_in(lines)) == 5:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        taught_target.taught(family, tmp_path / "broken off", break_off, **settings)
    lines.clear()
    taught_target.taught(family, tmp_path / "resumed", lines.append, **settings)
    assert epochs_in(lines) == epochs_in(whole)[-1:]
    assert contents(tmp_path / "resumed") == contents(tmp_path / "whole")


@pytest.mark.parametrize("change", [{"learning_rate": 0.02}, {"label_smoothing": 0.0}])
def test_a_training_with_other_settings_is_not_taken_for_the_one_that_was_kept(
    tmp_path: Path, change: dict[str, object]
) -> None:
    kept = {"epochs": 1, "checkpoints": str(tmp_path / "checkpoints")}
    taught_target.taught("cnn", tmp_path / "first", lambda _: None, **kept)
    lines: list[str] = []
    taught_target.taught("cnn", tmp_path / "second", lines.append, **kept, **change)
    assert len(epochs_in(lines)) == 2


def test_every_family_that_the_loop_teaches_keeps_checkpoints() -> None:
    folder = Path(str(groovemark.ml.models.__file__)).parent
    taught = {path.parent.name for path in folder.glob("*/*.py") if "training.loop import" in path.read_text()}
    assert taught == set(TAUGHT_IN_EPOCHS)
