"""Every scenario of `make chaos`, with few trials and the cheapest input."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from tests.chaos.register import SCENARIOS
from tests.chaos.scenario import Act, NotRun, Scenario
from tests.chaos.site import Site, cluster, site

SEED = 1
PATIENCE = 10.0
ORDER = (
    *("R3", "R6", "R16", "R17", "R7", "R11", "R19"),  # with watched workers
    *("R14", "R15", "R22", "R2", "R12", "R8", "R10", "R1", "R21", "R24"),  # with plain ones
    *("R25", "R4", "R23"),  # with workers, or steps of workers, of their own
    *("R9", "R20", "R13"),  # leaving another API behind, or none
)
"""So that few processes have to start."""
SETTINGS = {name: value for scenario in SCENARIOS for name, value in scenario.settings.items()}


@pytest.fixture(scope="module")
def shared_site() -> Iterator[Site]:
    """One API, and workers that a scenario takes over from the one before; its PostgreSQL may be restarted."""
    with TemporaryDirectory(prefix="groovemark-chaos-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with cluster(home / "cluster") as server, site(server, home / "site", SETTINGS) as found:
            yield found


@pytest.mark.parametrize(
    "scenario", sorted(SCENARIOS, key=lambda one: ORDER.index(one.name)), ids=lambda scenario: scenario.name
)
def test_nothing_is_lost_and_nothing_doubled(scenario: Scenario, shared_site: Site) -> None:
    act = Act(scenario.name, shared_site, scenario.short, Random(SEED), PATIENCE)
    try:
        outcome = scenario.play(act)
    except NotRun as error:
        pytest.skip(str(error))
    assert (outcome.lost, outcome.doubled, outcome.broken) == (0, 0, [])
    assert outcome.trials > 0
