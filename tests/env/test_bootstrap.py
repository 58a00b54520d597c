"""What env/bootstrap.sh hands on to uv of pip's configuration; both are stand-ins here."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "env" / "bootstrap.sh"
PYTHON = """#!/bin/sh
case "$*" in
  "-m pip config get "*) cat "pip.$5" ;;
  "-m pip install"*) ;;
  *) exec {python} "$@" ;;
esac
"""
UV = """#!/bin/sh
echo "index=${UV_INDEX_URL:-} cert=${SSL_CERT_FILE:-} $*" >> uv.log
"""


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    (tmp_path / "env").mkdir()
    shutil.copy(SCRIPT, tmp_path / "env")
    (tmp_path / "pyproject.toml").touch()
    (tmp_path / "requirements.lock.txt").write_text('torch==2.13.0 ; python_version >= "3.11"\n')
    programs = tmp_path / ".venv" / "bin"
    programs.mkdir(parents=True)
    for name, text in (("python", PYTHON.replace("{python}", sys.executable)), ("uv", UV)):
        (programs / name).write_text(text)
        (programs / name).chmod(0o755)
    return tmp_path


def build(checkout: Path, **environment: str) -> tuple[list[str], str]:
    """What uv was asked, and what the script said."""
    clean = {
        name: value for name, value in os.environ.items() if not name.startswith(("PIP_", "UV_", "SSL_", "TORCH_"))
    }
    done = subprocess.run(
        ["sh", "env/bootstrap.sh"],
        cwd=checkout,
        env={**clean, "PYTHON": sys.executable, **environment},
        capture_output=True,
        text=True,
        check=True,
    )
    return (checkout / "uv.log").read_text().splitlines(), done.stderr


def test_index_and_certificates_of_pips_file_are_handed_on(checkout: Path) -> None:
    """uv once went to the public index where pip was told of another one."""
    (checkout / "pip.global.index-url").write_text("https://index.invalid/simple\n")
    (checkout / "pip.global.cert").write_text("/certificates.pem\n")
    asked, _ = build(checkout)
    assert all(line.startswith("index=https://index.invalid/simple cert=/certificates.pem ") for line in asked)


def test_environment_wins_over_pips_file(checkout: Path) -> None:
    (checkout / "pip.global.index-url").write_text("https://index.invalid/simple\n")
    asked, _ = build(checkout, PIP_INDEX_URL="https://mine.invalid/simple", PIP_CERT="/mine.pem")
    assert all(line.startswith("index=https://mine.invalid/simple cert=/mine.pem ") for line in asked)


def test_pip_without_settings_leaves_uv_its_own(checkout: Path) -> None:
    asked, said = build(checkout)
    assert all(line.startswith("index= cert= pip ") for line in asked)
    assert "--find-links" not in "".join(asked)
    assert "find-links" not in said


def test_folders_without_a_wheel_of_torch_for_this_python_are_a_warning(checkout: Path) -> None:
    folder = checkout / "wheels"
    folder.mkdir()
    (folder / "torch-2.13.0-cp39-cp39-linux_x86_64.whl").touch()
    asked, said = build(checkout, PIP_FIND_LINKS=f"{checkout} {folder}")
    assert f"--find-links {folder} --find-links {checkout} " in asked[-2]
    assert "groovemark: no wheel of torch==2.13.0 for cp3" in said


def test_folder_with_torch_for_this_python_is_taken_without_a_word(checkout: Path) -> None:
    tag = f"cp{sys.version_info.major}{sys.version_info.minor}"
    (checkout / f"torch-2.13.0+cpu-{tag}-{tag}-manylinux_2_28_x86_64.whl").touch()
    asked, said = build(checkout, PIP_FIND_LINKS=str(checkout))
    assert not any("--torch-backend" in line for line in asked)
    assert "no wheel" not in said
