"""Training on a terminal, which is a real pseudo-terminal here, and away from one."""

from __future__ import annotations

import os
import pty
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.ml.tiny_data import CONFIG, write_tiny_data

ESCAPE = re.compile(r"\x1b\[[\d;?]*[A-Za-z]")


@dataclass(frozen=True)
class Run:
    stdout: str
    stderr: str
    files: dict[str, bytes]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tiny_data(tmp_path_factory.mktemp("data") / "data")


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory, data: Path) -> Run:
    """Away from a terminal."""
    return run(tmp_path_factory.mktemp("plain"), data, terminal=None)


def run(home: Path, data: Path, *, terminal: str | None) -> Run:
    """`groovemark train`, whose stderr is a terminal of that kind, or a pipe."""
    folder = home / "model" / "small"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.toml").write_text(CONFIG)
    ours, theirs = pty.openpty() if terminal else os.pipe()
    process = subprocess.Popen(
        [sys.executable, "-m", "groovemark", "train", "model/small/train.toml"],
        cwd=home,
        env={**os.environ, "GROOVEMARK_DATA": str(data), "COLUMNS": "120", "TERM": terminal or "xterm"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=theirs,
        text=True,
    )
    os.close(theirs)
    stderr = b""
    try:
        while piece := os.read(ours, 1 << 16):
            stderr += piece
    except OSError:  # how a terminal says that nobody writes to it any more
        pass
    os.close(ours)
    stdout, _ = process.communicate()
    assert process.returncode == 0, stderr.decode()
    files = {path.name: path.read_bytes() for path in folder.glob("1/*")}
    return Run(stdout, stderr.decode().replace("\r\n", "\n"), files)


def test_a_terminal_gets_a_bar_with_the_time_left_below_the_lines_that_a_pipe_gets(
    plain: Run, tmp_path: Path, data: Path
) -> None:
    shown = run(tmp_path, data, terminal="xterm")
    assert (plain.stdout, plain.files) == (shown.stdout, shown.files)
    assert "small@1" in plain.stdout
    assert "\x1b" not in plain.stderr
    lines = plain.stderr.splitlines()
    assert sum("round" in line for line in lines) == 6  # honest, careless, and of the base
    text = ESCAPE.sub("", shown.stderr)
    place = 0
    for line in lines:
        place = text.index(line, place) + len(line)
    for share, left in ((" 0%", "-:--:--"), (r"[1-9]\d%", r"0:0\d:\d\d"), ("100%", "0:00:00")):
        assert re.search(rf"training small .*{share} 0:0\d:\d\d passed, {left} left", text)
    assert text.rindex("training small") > place


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(plain: Run, tmp_path: Path, data: Path) -> None:
    assert run(tmp_path, data, terminal="dumb") == plain
