"""What was played before: it counts as long as the same code would be played with the same seed and sizes."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

FOLDERS = ("src/groovemark", "migrations", "tests/chaos", "tests/attack")
Row = dict[str, Any]


def code_sha256(root: Path) -> str:
    """Of all Python that has a part in a scenario, by the files' names and contents."""
    files = {*root.glob("tests/*.py"), *(path for folder in FOLDERS for path in (root / folder).rglob("*.py"))}
    digest = hashlib.sha256()
    for path in sorted(files):
        content = path.read_bytes()
        digest.update(f"{path.relative_to(root)} {len(content)}\n".encode())
        digest.update(content)
    return digest.hexdigest()


def read(state: Path) -> dict[str, Row]:
    """Rows by scenario."""
    found: dict[str, Row] = json.loads(state.read_text()) if state.exists() else {}
    return found


def write(state: Path, rows: dict[str, Row]) -> None:
    state.parent.mkdir(exist_ok=True)
    state.write_text(json.dumps(rows, indent=1))
