"""`make guards`: every scenario again, each in a copy of groovemark from which the guard that it tests was removed.

A scenario that keeps its promise even then tests nothing. Each is played in its short version where that can notice,
and first in an intact copy: what breaks there too says nothing of the guard.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

from tests.chaos import kept
from tests.chaos.kept import Row
from tests.chaos.site import REPOSITORY

STATE = REPOSITORY / ".venv" / "guards.json"
PATIENCE_S = 60
"""So long a scenario waits for a batch that may never end."""
STOPPED_AFTER_S = 900
VERDICTS = {"BROKEN": "noticed", "kept": "UNNOTICED"}
NO_VERDICT = "NO VERDICT"
GOOD = ("noticed", "not run")
COPIED = ("src", "tests", "migrations")
LINKED = ("model", "pyproject.toml")


@dataclass(frozen=True)
class Guard:
    """A piece of groovemark, by the text that is it, and what stands there without it.

    Attributes:
        behind: others of the same file that would catch alone what comes through, with what stands there instead.
        is_long: whether only the full version can notice.
    """

    scenario: str
    what: str
    file: str
    text: str
    without: str = ""
    behind: tuple[tuple[str, str], ...] = ()
    is_long: bool = False


SOURCE = "src/groovemark/"
EXPIRED = "(state = 'queued' OR (state = 'running' AND lease_until < clock_timestamp()))"
LEASE_END = "lease_until = clock_timestamp() + make_interval(secs => :lease_s)"
LEASE_END_BY_WORKER = (
    'lease_until = to_timestamp(""" + str(__import__(\'time\').time()) + """) + make_interval(secs => :lease_s)'
)
HEARTBEAT_OF_ITS_OWN = """id = :id AND lease_token = :token AND state = 'running'
            RETURNING cancel_requested"""

GUARDS = (
    Guard("R1", "a job whose lease has ended may be claimed", f"{SOURCE}db/jobs.py", EXPIRED, "state = 'queued'"),
    Guard(
        "R2",
        "the sweep of what nobody refers to",
        f"{SOURCE}upkeep.py",
        "{**_CHORES, **(_STORE_CHORES if with_store else {})}",
        "_CHORES",
        is_long=True,
    ),
    Guard(
        "R3",
        "results are written under the lease's token alone",
        f"{SOURCE}db/jobs.py",
        "WHERE id = :id AND lease_token = :token AND state = 'running' FOR UPDATE",
        "WHERE id = :id FOR UPDATE",
        behind=(
            (HEARTBEAT_OF_ITS_OWN, HEARTBEAT_OF_ITS_OWN.replace(" AND lease_token = :token AND state = 'running'", "")),
        ),
    ),
    Guard("R4", "a job whose lease has ended may be claimed", f"{SOURCE}db/jobs.py", EXPIRED, "state = 'queued'"),
    Guard("R6", "heartbeats", f"{SOURCE}lease.py", "await asyncio.sleep(pause_s)", "await asyncio.sleep(1e6)"),
    Guard(
        "R7",
        "the queue's connection is opened again",
        f"{SOURCE}queue/queue.py",
        "        except _LOST as error:",
        "        except ZeroDivisionError as error:",
    ),
    Guard(
        "R8",
        "what tells of the server's state is told from an error of the statement",
        f"{SOURCE}db/session.py",
        '_PASSING = ("08", "25P03", "40", "53", "57P")',
        '_PASSING = ("99",)',
    ),
    Guard(
        "R9",
        "a batch and the answer to its key are one transaction",
        f"{SOURCE}classifier/service.py",
        "        await once.record(connection, answers.accepted(row))\n",
    ),
    Guard(
        "R10",
        "readiness has a limit of time",
        f"{SOURCE}db/session.py",
        "timeout=CURRENT_WITHIN_S",
        "timeout=3600",
    ),
    Guard(
        "R11",
        "a decoder's crash is its file's failure",
        f"{SOURCE}ml/audio/sandbox.py",
        'return AudioRejected("decoder_crashed", f"The decoder ended',
        'return ServiceError(f"The decoder ended',
    ),
    Guard(
        "R12",
        "one file's rejection is kept apart from its neighbours",
        f"{SOURCE}ml/features/file_extractor.py",
        "        except AudioRejected as error:\n            return error",
        "        except ZeroDivisionError as error:\n            return error",
    ),
    Guard(
        "R13",
        "what was half received is removed",
        f"{SOURCE}storage/base.py",
        "        self.path.unlink(missing_ok=True)\n",
        "        self.path.touch()\n",
    ),
    Guard(
        "R14",
        "the claim of the key",
        f"{SOURCE}idempotency.py",
        "    key = _key(request)\n",
        "    key = None\n",
    ),
    Guard(
        "R15",
        "the comparison of fingerprints",
        f"{SOURCE}idempotency.py",
        "    if asked != done.fingerprint:\n        raise KeyReused\n",
    ),
    Guard(
        "R16",
        "items of the same bytes point to the first",
        f"{SOURCE}classifier/prepare_audio.py",
        '        await preparing.link_equal_content(raw, batch["id"], known)\n',
        "        del known\n",
    ),
    Guard(
        "R17",
        "a cancel stops the work on a shard",
        f"{SOURCE}lease.py",
        "        return self.is_cancelled or self.is_lost or self._stopping.is_set()",
        "        return self.is_lost or self._stopping.is_set()",
    ),
    Guard("R19", "the attempt is given back", f"{SOURCE}db/jobs.py", ", attempt = attempt - 1,", ","),
    Guard(
        "R20",
        "a full queue takes nothing",
        f"{SOURCE}backpressure.py",
        "        await self._read()\n",
        "        return\n",
    ),
    Guard("R21", "clients take turns", f"{SOURCE}db/jobs.py", "return int(found or 0)", "return 0"),
    Guard(
        "R22",
        "a batch goes whole, with all that belongs to it",
        f"{SOURCE}db/retention.py",
        '    await connection.execute(text("DELETE FROM batch WHERE id = :id"), {"id": batch_id})\n',
    ),
    Guard(
        "R23",
        "counts go with the items that wait again",
        f"{SOURCE}db/items.py",
        "items_failed - (SELECT count(*) FROM again)",
        "items_failed",
    ),
    Guard(
        "R24",
        "batches without a job get one when the schema goes back",
        "migrations/versions/0002_shards.py",
        "FROM batch WHERE job_id IS NULL RETURNING id)",
        "FROM batch WHERE false RETURNING id)",
    ),
    Guard("R25", "leases end by the database's clock", f"{SOURCE}db/jobs.py", LEASE_END, LEASE_END_BY_WORKER),
)


def remove(guard: Guard, root: Path) -> None:
    """Take it out of the copy at `root`, wherever its text stands."""
    path = root / guard.file
    content = path.read_text()
    for text, without in ((guard.text, guard.without), *guard.behind):
        if text not in content:
            raise ValueError(f"{guard.scenario}: {guard.file} holds no {text!r}")
        content = content.replace(text, without)
    path.write_text(content)


def main(guards: Sequence[Guard] = GUARDS, *, package: str = "tests.chaos") -> int:
    parser = argparse.ArgumentParser(prog="make guards", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="R1", help="only these scenarios")
    parser.add_argument("--fresh", action="store_true", help="play again what was played before")
    asked = parser.parse_args()
    chosen = [guard for guard in guards if not asked.names or guard.scenario in asked.names]
    rows: list[Row] = []
    with TemporaryDirectory(prefix="groovemark-guards-") as folder:
        home = Path(folder)
        home.chmod(0o755)  # PostgreSQL runs as another account where this is root's
        # All are played in copies of this one, whatever is edited meanwhile.
        intact = home / "intact"
        _copy(REPOSITORY, intact)
        code = kept.code_sha256(intact)
        for guard in chosen:
            row = kept.read(STATE).get(guard.scenario)
            if asked.fresh or row is None or row["verdict"] != "noticed" or row.get("code") != code:
                row = {**_judge(guard, package, intact, home), "code": code}
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


def _judge(guard: Guard, package: str, intact: Path, home: Path) -> Row:
    began = time.monotonic()
    with TemporaryDirectory(dir=home, prefix=f"{guard.scenario}-") as folder:
        root = Path(folder)
        root.chmod(0o755)
        for name in ("control", "without"):
            _copy(intact, root / name)
        remove(guard, root / "without")
        verdict, said = _play(guard, package, root / "control")
        if verdict == "kept":
            verdict, said = _play(guard, package, root / "without")
            verdict = VERDICTS.get(verdict, NO_VERDICT)
        elif verdict != "not run":
            verdict, said = NO_VERDICT, [f"with the guard: {verdict}", *said]
    return {"verdict": verdict, "seconds": round(time.monotonic() - began), "said": said}


def _play(guard: Guard, package: str, root: Path) -> tuple[str, list[str]]:
    """The scenario's verdict in this copy, and what was said to it."""
    table = root / "table.json"
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
