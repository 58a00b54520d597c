"""`make chaos`: every scenario with its full number of trials, against processes and a PostgreSQL of its own.

Scenarios that kept their promise before are taken from the state file, so that an interrupted run goes on where it was;
they are played again where the code, the seed or their sizes are others now.
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

from tests.chaos import kept
from tests.chaos.kept import Row
from tests.chaos.register import SCENARIOS
from tests.chaos.scenario import Act, NotRun, Outcome, Scenario
from tests.chaos.site import REPOSITORY, Cluster, cluster, site

STATE = REPOSITORY / ".venv" / "chaos.json"
"""In the folder that git ignores and `make setup` builds."""
SEED = 20_260_101
UNHARMED = ("kept", "not run")
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
    parser.add_argument("--rows", type=Path, metavar="FILE", help="write the table there too, as JSON")
    asked = parser.parse_args()
    unknown = set(asked.names) - {scenario.name for scenario in scenarios}
    if unknown:
        parser.error(f"there is no scenario {', '.join(sorted(unknown))}")
    chosen = [scenario for scenario in scenarios if not asked.names or scenario.name in asked.names]
    rows: list[Row] = []
    print(f"{program}: seed {asked.seed}", file=sys.stderr)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and not before everything started here is ended
    # PostgreSQL runs as another account where this is root's.
    with TemporaryDirectory(prefix=f"groovemark-{program}-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with cluster(home / "cluster") as server:
            for scenario in chosen:
                if asked.short:
                    rows.append(_perform(scenario, server, home, seed=asked.seed, is_short=True))
                else:
                    rows.append(_kept_or_performed(scenario, server, home, state, seed=asked.seed, fresh=asked.fresh))
    _print(rows, columns)
    if asked.rows:
        asked.rows.write_text(json.dumps(rows))
    return 0 if all(row["verdict"] in UNHARMED for row in rows) else 1


def _kept_or_performed(scenario: Scenario, server: Cluster, home: Path, state: Path, *, seed: int, fresh: bool) -> Row:
    """A row is kept with what it is true of."""
    played = {"seed": seed, "sizes": dict(scenario.full), "code": kept.code_sha256(REPOSITORY)}
    before = kept.read(state).get(scenario.name)
    if not fresh and before is not None and before["verdict"] == "kept" and before.get("played") == played:
        print(f"{scenario.name}: was played before, with this code, seed and sizes", file=sys.stderr)
        return before
    row = _perform(scenario, server, home, seed=seed, is_short=False)
    known = kept.read(state)
    known.pop(scenario.name, None)
    if kept.code_sha256(REPOSITORY) == played["code"]:
        known[scenario.name] = {**row, "played": played}
    else:
        print(f"{scenario.name}: the code changed meanwhile, the verdict is not kept", file=sys.stderr)
    kept.write(state, known)
    return row


def _perform(scenario: Scenario, server: Cluster, home: Path, *, seed: int, is_short: bool) -> Row:
    size = scenario.short if is_short else scenario.full
    began = time.monotonic()
    is_up = False
    try:
        with site(server, home / scenario.name, scenario.settings) as place:
            is_up = True
            outcome = scenario.play(Act(scenario.name, place, size, Random(f"{seed} {scenario.name}")))
        verdict = "kept" if outcome.is_kept else "BROKEN"
    except NotRun as error:
        outcome, verdict = Outcome(notes=[str(error)]), "not run"
    except Exception as error:
        traceback.print_exc()
        # Where nothing came up, nothing was found out of the promise.
        outcome, verdict = Outcome(broken=[f"{type(error).__name__}: {error}"]), "BROKEN" if is_up else "DOWN"
    for line in outcome.broken[:10]:
        print(f"{scenario.name}: {verdict}: {line}", file=sys.stderr)
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


def _print(rows: list[Row], columns: Sequence[str]) -> None:
    cells = [tuple(columns), *[tuple(str(row[column]) for column in columns) for row in rows]]
    widths = [max(len(row[index]) for row in cells) for index in range(len(columns))]
    for row, details in zip(cells, [{}, *rows], strict=True):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
        for line in (*details.get("notes", ()), *details.get("broken", ())):
            print(f"          {line.splitlines()[0][:160]}")


if __name__ == "__main__":
    sys.exit(main())
