"""`make guards`: scenarios and attacks again, each in a copy of groovemark from which the guard it tests was removed.

One that keeps its promise even then tests nothing. Each is played in its short version where that can notice, and
first in an intact copy: what breaks there too says nothing of the guard.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.attack.guards import GUARDS as ATTACKS
from tests.chaos import kept
from tests.chaos.guards import GUARDS as SCENARIOS
from tests.chaos.kept import Row
from tests.chaos.site import REPOSITORY
from tests.guards.guard import Guard

STATE = REPOSITORY / ".venv" / "guards.json"
PATIENCE_S = 60
"""So long a scenario waits for a batch that may never end."""
STOPPED_AFTER_S = 900
VERDICTS = {"BROKEN": "noticed", "kept": "UNNOTICED"}
NO_VERDICT = "NO VERDICT"
GOOD = ("noticed", "not run")
COPIED = ("src", "tests", "migrations")
LINKED = ("model", "pyproject.toml")
GUARDS = {guard.scenario: guard for guard in (*SCENARIOS, *ATTACKS)}


def main() -> int:
    parser = argparse.ArgumentParser(prog="make guards", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="R1", help="only these scenarios and attacks")
    parser.add_argument("--fresh", action="store_true", help="play again what was played before")
    asked = parser.parse_args()
    if unknown := set(asked.names) - set(GUARDS):
        parser.error(f"there is no scenario or attack {', '.join(sorted(unknown))}")
    rows: list[Row] = []
    with TemporaryDirectory(prefix="groovemark-guards-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # PostgreSQL runs as another account where this is root's
        # All are played in copies of this one, whatever is edited meanwhile.
        intact = home / "intact"
        _copy(REPOSITORY, intact)
        code = kept.code_sha256(intact)
        for guard in [GUARDS[name] for name in asked.names or GUARDS]:
            row = kept.read(STATE).get(guard.scenario)
            if asked.fresh or row is None or row["verdict"] != "noticed" or row.get("code") != code:
                row = {**_judge(guard, intact, home), "code": code}
                kept.write(STATE, {**kept.read(STATE), guard.scenario: row})
            rows.append(row)
            print(f"{guard.scenario:<4} {row['verdict']:<10} {row['seconds']:>4} s  without: {guard.what}", flush=True)
            for line in row["said"][:3]:
                print(f"                        {line[:110]}", flush=True)
    return 0 if all(row["verdict"] in GOOD for row in rows) else 1


def _copy(source: Path, target: Path) -> None:
    for name in COPIED:
        shutil.copytree(source / name, target / name, ignore=shutil.ignore_patterns("__pycache__"))
    for name in LINKED:
        (target / name).symlink_to(REPOSITORY / name)


def _judge(guard: Guard, intact: Path, home: Path) -> Row:
    began = time.monotonic()
    with TemporaryDirectory(dir=home, prefix=f"{guard.scenario}-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in ("control", "without"):
            _copy(intact, root / name)
        for piece in guard.pieces:
            piece.remove(root / "without")
        verdict, said = _play(guard, root / "control")
        if verdict == "kept":
            verdict, said = _play(guard, root / "without")
            verdict = VERDICTS.get(verdict, NO_VERDICT)
        elif verdict != "not run":
            verdict, said = NO_VERDICT, [f"with the guard: {verdict}", *said]
    return {"verdict": verdict, "seconds": round(time.monotonic() - began), "said": said}


def _play(guard: Guard, root: Path) -> tuple[str, list[str]]:
    """The scenario's verdict in this copy, and what was said to it."""
    table = root / "table.json"
    package = "tests.attack" if guard in ATTACKS else "tests.chaos"
    with (root / "said.log").open("w+", errors="replace") as log:
        played = subprocess.Popen(
            [sys.executable, "-m", package, *([] if guard.is_long else ["--short"]), "--rows", table, guard.scenario],
            cwd=root,
            env={
                **os.environ,
                "PYTHONPATH": os.pathsep.join((str(root / "src"), str(root))),
                "CHAOS_ENDS_WITHIN_S": str(PATIENCE_S),
            },
            stdout=log,
            stderr=subprocess.STDOUT,
        )
        try:
            played.wait(STOPPED_AFTER_S)
        except subprocess.TimeoutExpired:
            played.terminate()
            played.wait()
            return f"not ended after {STOPPED_AFTER_S} s", []
        log.seek(0)
        said = log.read().splitlines()
    if not table.exists():
        return f"ended with status {played.returncode} and no table", said[-2:]
    [row] = json.loads(table.read_text())
    return row["verdict"], [line.splitlines()[0] for line in (*row["broken"], *row["notes"])]


if __name__ == "__main__":
    sys.exit(main())
