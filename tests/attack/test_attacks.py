"""Every scenario of `make attack`, with few trials."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from random import Random
from tempfile import TemporaryDirectory

import pytest

from tests.attack.place import SETTINGS
from tests.attack.register import SCENARIOS
from tests.chaos.scenario import Act, NotRun, Scenario
from tests.chaos.site import Site, cluster, site

SEED = 1


@pytest.fixture(scope="module")
def attacked_site() -> Iterator[Site]:
    """One API, and a worker for the files; another for the URLs, which come last."""
    with TemporaryDirectory(prefix="groovemark-attack-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        with cluster(home / "cluster") as server, site(server, home / "site", SETTINGS) as found:
            yield found


@pytest.mark.parametrize("scenario", SCENARIOS, ids=lambda scenario: scenario.name)
def test_attack_is_refused_and_does_no_harm(scenario: Scenario, attacked_site: Site) -> None:
    try:
        outcome = scenario.play(Act(scenario.name, attacked_site, scenario.short, Random(SEED)))
    except NotRun as error:
        pytest.skip(str(error))
    assert (outcome.lost, outcome.broken) == (0, [])
    assert outcome.trials > 0
