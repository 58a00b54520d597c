"""S6: zips that burst, nest, overlap, crowd, climb or lie. Nothing comes out of the store's folder."""

from __future__ import annotations

import uuid
from pathlib import Path

from tests.attack.archives import refused
from tests.attack.place import SETTINGS, codes, files_below, ready_worker, unharmed
from tests.chaos.scenario import Act, Outcome, Scenario
from tests.chaos.site import REPOSITORY

GROWN_MIB_MAX = 300


def play(act: Act) -> Outcome:
    site = act.site
    mark = f"escaped-{uuid.uuid4().hex}"
    attacks = refused(mark, zeros_mib=act.size["zeros_mib"], entries=act.size["entries"])
    outcome = Outcome(trials=len(attacks))
    worker = ready_worker(site)
    before = _around(site.home)
    with unharmed(site, outcome, worker, grown_mib_max=GROWN_MIB_MAX), site.client() as api:
        for name, content in attacks.items():
            found = set(codes(api, {f"{name}.zip": content}).values())
            outcome.expect("succeeded" not in found, f"{name}: an item succeeded")
            outcome.expect(bool(found), f"{name}: nothing was said")
            outcome.expect(not any(code.startswith("HTTP 5") for code in found), f"{name}: {found}")
            outcome.expect("attempts_exhausted" not in found, f"{name}: the worker died of it")
    outcome.expect(_around(site.home) <= before, f"new outside the store: {sorted(_around(site.home) - before)[:5]}")
    outcome.expect(not _named(mark, site.home), f"a file came out: {_named(mark, site.home)}")
    outcome.expect(not files_below(site.storage / "incoming"), "something is left where files come in")
    return outcome


def _around(home: Path) -> set[Path]:
    """The files of the installation that are not the store's."""
    return {path for path in files_below(home) if home / "storage" not in path.parents and path.suffix != ".log"}


def _named(mark: str, home: Path) -> list[Path]:
    """What an archive wanted to leave, wherever its paths could have led."""
    places = (Path("/"), Path("/tmp"), Path.cwd(), REPOSITORY, *home.parents, Path.home())
    return [*home.rglob(f"*{mark}*"), *(path for place in set(places) for path in place.glob(f"*{mark}*"))]


SCENARIO = Scenario(
    "S6",
    "zip bombs, flat, nested and overlapping; a million entries; links; ../ and the like: memory + 300 MB, no file out",
    play,
    full={"zeros_mib": 1024, "entries": 1_000_000},
    short={"zeros_mib": 48, "entries": 100_000},
    settings=SETTINGS,
)
