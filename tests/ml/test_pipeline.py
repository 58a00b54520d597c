"""dvc.yaml as it stands, from invented data to figures: a real DVC, and nothing from the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from tiny_data import CONFIG as TRAIN
from tiny_data import write_tiny_data

pytest.importorskip("dvc")

ROOT = Path(__file__).parents[2]
PARAMETERS = """
data: data
evaluate: --quick
models:
  small: { reads: fma }
ensembles:
  both: { one: small, other: small }
"""


def dvc(folder: Path, *words: str) -> str:
    environment = {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "MODEL_PATH": "model",
        "DVC_SITE_CACHE_DIR": str(folder / "site"),
        "http_proxy": "http://127.0.0.1:9",  # nobody listens there
        "https_proxy": "http://127.0.0.1:9",
    }
    done = subprocess.run(
        [sys.executable, "-m", "dvc", *words],
        cwd=folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A folder with the pipeline, one small model to train, and data for it."""
    shutil.copy(ROOT / "dvc.yaml", tmp_path)
    shutil.copytree(ROOT / ".dvc", tmp_path / ".dvc", ignore=shutil.ignore_patterns("tmp", "cache"))
    (tmp_path / ".dvc" / "config").write_text((ROOT / ".dvc" / "config").read_text() + "    no_scm = true\n")
    (tmp_path / "params.yaml").write_text(PARAMETERS)
    write_tiny_data(tmp_path / "data")
    (tmp_path / "model" / "small").mkdir(parents=True)
    (tmp_path / "model" / "small" / "train.toml").write_text(TRAIN)
    return tmp_path


def ran(output: str) -> list[str]:
    return [line.split("'")[1] for line in output.splitlines() if line.startswith("Running stage")]


def test_the_pipeline_goes_from_data_to_figures_and_repeats_what_changed(project: Path) -> None:
    assert ran(dvc(project, "repro", "evaluate@small")) == ["prepare@small", "train@small", "evaluate@small"]
    found = json.loads((project / "model" / "small" / "evaluation" / "report.json").read_text())
    manifest = json.loads((project / "model" / "small" / "1" / "manifest.json").read_text())
    assert 0.5 < manifest["metrics"]["accuracy"] <= 1
    assert "grouped 2-fold" in json.dumps(found)
    assert "accuracy" in dvc(project, "metrics", "show")
    assert ran(dvc(project, "repro", "evaluate@small")) == []

    config = project / "model" / "small" / "train.toml"
    config.write_text(TRAIN.replace("rounds_max = 2", "rounds_max = 3"))
    assert ran(dvc(project, "repro", "train@small")) == ["prepare@small", "train@small"]

    table = project / "data" / "fma" / "features_train4000.csv"
    first = table.read_text().splitlines(keepends=True)
    before = json.loads((project / "model" / "small" / "dataset.json").read_text())
    table.write_text("".join(first[:-1]))  # one track less
    assert ran(dvc(project, "repro", "prepare@small")) == ["prepare@small"]
    after = json.loads((project / "model" / "small" / "dataset.json").read_text())
    assert (after["rows"], after["sha256"] == before["sha256"]) == (before["rows"] - 1, False)


def stages_of_training() -> dict[str, list[str]]:
    """What each model's training depends on."""
    listed = yaml.safe_load((ROOT / "params.yaml").read_text())
    stages = yaml.safe_load((ROOT / "dvc.yaml").read_text())["stages"]
    return {
        **{name: [] for name in listed["models"]},
        **{name: [f"model/{member}/1" for member in pair.values()] for name, pair in listed["ensembles"].items()},
        **{
            name.removeprefix("train-"): stage["deps"]
            for name, stage in stages.items()
            if "deps" in stage and name.startswith("train-")
        },
    }


def test_every_shipped_model_is_in_the_pipeline() -> None:
    assert set(stages_of_training()) == {path.parent.name for path in (ROOT / "model").glob("*/train.toml")}


def test_stages_name_the_versions_that_are_trained() -> None:
    """A new version would be trained beside a pipeline that still looks at the old one."""
    for path in (ROOT / "model").glob("*/train.toml"):
        assert tomllib.loads(path.read_text())["version"] == "1", "dvc.yaml names the folder 1"


def test_an_ensemble_depends_on_every_member() -> None:
    for name, paths in stages_of_training().items():
        members = tomllib.loads((ROOT / "model" / name / "train.toml").read_text()).get("members", ())
        assert {f"model/{member}/1" for member in members} <= set(paths)
