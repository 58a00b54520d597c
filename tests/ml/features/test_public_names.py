"""What a program imports from groovemark.ml.features, and what importing costs it."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import groovemark.ml.features

ROOT = Path(__file__).parents[3]
CLIPS = ROOT / "src" / "groovemark" / "cli" / "demo" / "clips"


def run(script: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", script],
        env=os.environ | environment,
        capture_output=True,
        text=True,
        check=False,
    )


def test_every_name_can_be_imported_and_no_other():
    for name in groovemark.ml.features.__all__:
        assert getattr(groovemark.ml.features, name) is not None
    with pytest.raises(AttributeError, match="extract_files"):
        _ = groovemark.ml.features.extract_files


def test_reading_the_sets_loads_neither_torch_nor_numpy():
    script = (
        "import sys; from groovemark.ml.features import FEATURE_SETS, FeatureSpec\n"
        "print([name for name in ('torch', 'numpy', 'numba') if name in sys.modules])"
    )
    assert run(script).stdout.strip() == "[]"


@pytest.fixture
def without_torch(tmp_path):
    """The environment of a program that has no torch."""
    package = tmp_path / "torch"
    package.mkdir()
    (package / "__init__.py").write_text("raise ModuleNotFoundError(\"No module named 'torch'\", name='torch')\n")
    return {"PYTHONPATH": str(tmp_path)}


def test_without_torch_one_line_says_which_extra_is_missing(without_torch, tmp_path):
    imported = run("from groovemark.ml.features import Extractor", **without_torch)
    assert imported.stderr.splitlines()[-1] == "ModuleNotFoundError: Extractor needs torch: pip install '.[torch]'"
    command = f"from groovemark.cli import app; app(['features', 'a.wav', '-o', {str(tmp_path / 'out.parquet')!r}])"
    asked = run(command, **without_torch)
    assert asked.returncode == 1
    assert len(asked.stderr.splitlines()) == 1
    assert "pip install '.[torch]'" in asked.stderr


def test_the_lines_of_the_readme_run(tmp_path, monkeypatch, capsys):
    (lines,) = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), flags=re.DOTALL)
    shutil.copy(next(CLIPS.glob("*.ogg")), tmp_path / "one.mp3")
    monkeypatch.chdir(tmp_path)
    exec(lines, {})  # noqa: S102 - our own words
    assert "'mfcc20_var': " in capsys.readouterr().out
