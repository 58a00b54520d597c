"""From MIDI files to answers: a composer model is trained, installed, and asked about audio through the service."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import typer
from typer.testing import CliRunner

from groovemark.cli.train import train
from groovemark.ml.datasets import composer
from groovemark.ml.datasets.rendering import Performance, rendered
from tests.conftest import Server, Service, running
from tests.ledger import watch
from tests.ml.tiny_midi import LOWEST_KEYS, make_midi, needs_fluidsynth, write_collection
from tests.posting import post_audio

pytestmark = needs_fluidsynth
UNHEARD = Performance(tempo=1.05, velocity=0.9, gain=0.5, room_size=0.4, reverb_level=0.3)
CONFIG = """
name = "tiny-composer"
version = "1"
title = "Two invented composers"
family = "forest"
task = "composer"
dataset = "composer"
features = "composer-118"
created = "2026-01-01"
licence = "MIT"
ship = "all"
bag = 1
protocol = { folds = 2, inner_folds = 2, seeds = [0] }
settings = { trees = 10, depth = 4, calibrated = true }
search = { trials = 2, objective = "weighted_f1", ranges = { depth = [2, 6] } }
"""


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of models in which `groovemark train` has put a composer model."""
    home = tmp_path_factory.mktemp("composer")
    path = home / "model" / "tiny-composer" / "train.toml"
    path.parent.mkdir(parents=True)
    path.write_text(CONFIG)
    data = write_collection(home / "data", works=4)
    command = typer.Typer()
    command.command()(train)
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("GROOVEMARK_DATA", str(data))
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        patch.setattr(composer, "PIECES_LEAST", 4)
        result = CliRunner().invoke(command, [str(path)])
    assert result.exit_code == 0, result.output
    return home / "model"


@pytest.fixture(scope="module")
def service(postgres: Server, models: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """Has that model and no other."""
    with running(postgres, tmp_path_factory.mktemp("service"), MODEL_PATH=str(models)) as service:
        yield service


def test_a_composer_model_of_rendered_midi_names_the_composer_of_a_performance_it_never_heard(
    api: httpx.Client,
) -> None:
    files = {}
    for name, low in LOWEST_KEYS.items():
        piece = make_midi([low + 1, low + 4, low + 7, low + 12], [90, 70, 80, 100])
        with rendered(piece, UNHEARD, longest_s=60) as path:
            files[f"{name}.wav"] = path.read_bytes()
    answer = post_audio(api, files, task="composer")
    batch = watch(api, answer.headers["location"])
    assert (batch["task"], batch["model"], batch["counts"]["succeeded"]) == ("composer", "tiny-composer@1", 2)
    location = answer.headers["location"].removeprefix("/api/v1")
    rows = [json.loads(line) for line in api.get(f"{location}/results").text.splitlines()]
    assert sorted(row["label"] for row in rows) == ["High", "Low"]
    assert all(row["label"] == row["external_id"].removesuffix(".wav") for row in rows), rows
