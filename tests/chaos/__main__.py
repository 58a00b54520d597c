"""`make chaos`: every scenario with its full number of trials, against processes and a PostgreSQL of its own.

Scenarios already played are taken from the state file, so that an interrupted run goes on where it was.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory
from typing import Any

from tests.chaos.register import SCENARIOS
from tests.chaos.scenario import Act, NotRun, Outcome, Scenario
from tests.chaos.site import REPOSITORY, Cluster, cluster, site

STATE = REPOSITORY / ".venv" / "chaos.json"
"""In the folder that git ignores and `make setup` builds."""
SEED = 20_260_101
COLUMNS = ("scenario", "trials", "lost", "doubled", "verdict", "seconds", "promise")


def main(
    scenarios: Sequence[Scenario] = SCENARIOS,
    *,
    program: str = "chaos",
    state: Path = STATE,
    columns: Sequence[str] = COLUMNS,
) -> int:
    parser = argparse.ArgumentParser(prog=f"make {program}", description=__doc__)
    parser.add_argument("names", nargs="*", metavar=scenarios[0].name, help="only these scenarios")
    parser.add_argument("--fresh", action="store_true", help="play again what was played before")
    parser.add_argument("--short", action="store_true", help="with the few trials that `make test` has")
    parser.add_argument("--seed", type=int, default=SEED)
    asked = parser.parse_args()
    unknown = set(asked.names) - {scenario.name for scenario in scenarios}
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    chosen = [scenario for scenario in scenarios if not asked.names or scenario.name in asked.names]
    known: dict[str, dict[str, Any]] = {}
    if state.exists() and not asked.short:
        known = json.loads(state.read_text())
    if asked.fresh:
        known = {name: row for name, row in known.items() if name not in {scenario.name for scenario in chosen}}
    print(f"{program}: seed {asked.seed}", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and not before everything started here is ended
    # PostgreSQL runs as another account where this is root's.
    with TemporaryDirectory(prefix=f"groovemark-{program}-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with cluster(home / "cluster") as server:
            for scenario in chosen:
                if scenario.name in known and known[scenario.name]["verdict"] == "kept":
                    continue
                known[scenario.name] = _perform(scenario, server, home, seed=asked.seed, is_short=asked.short)
                if not asked.short:
                    state.parent.mkdir(exist_ok=True)
                    state.write_text(json.dumps(known, indent=1))
    rows = [known[scenario.name] for scenario in chosen]
    _print(rows, columns)
    return 1 if any(row["verdict"] == "BROKEN" for row in rows) else 0


def _perform(scenario: Scenario, server: Cluster, home: Path, *, seed: int, is_short: bool) -> dict[str, Any]:
    size = scenario.short if is_short else scenario.full
    began = time.monotonic()
    try:
        with site(server, home / scenario.name, scenario.settings) as place:
            outcome = scenario.play(Act(scenario.name, place, size, Random(f"{seed} {scenario.name}")))
        verdict = "kept" if outcome.is_kept else "BROKEN"
    except NotRun as error:
        outcome, verdict = Outcome(notes=[str(error)]), "not run"
    except Exception as error:
        traceback.print_exc()
        outcome, verdict = Outcome(broken=[f"{type(error).__name__}: {error}"]), "BROKEN"
    for line in outcome.broken[:10]:
        print(f"{scenario.name}: BROKEN: {line}", file=sys.stderr)
    return {
        "scenario": scenario.name,
        "trials": outcome.trials,
        "lost": outcome.lost,
        "doubled": outcome.doubled,
        "verdict": verdict,
        "seconds": round(time.monotonic() - began),
        "promise": scenario.promise,
        "broken": outcome.broken[:10],
        "notes": outcome.notes,
    }


def _print(rows: list[dict[str, Any]], columns: Sequence[str]) -> None:
    cells = [tuple(columns), *[tuple(str(row[column]) for column in columns) for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row, details in zip(cells, [{}, *rows], strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for line in (*details.get("notes", ()), *details.get("broken", ())):
            print(f"          {line.splitlines()[0][:160]}")


if __name__ == "__main__":
    sys.exit(main())
