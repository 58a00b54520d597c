"""Every scenario, once, in the order of its number."""

from __future__ import annotations

import importlib
import pkgutil

from tests.chaos import scenarios
from tests.chaos.scenario import Scenario

SCENARIOS: list[Scenario] = sorted(
    (
        importlib.import_module(f"{scenarios.__name__}.{module.name}").SCENARIO
        for module in pkgutil.iter_modules(scenarios.__path__)
    ),
    key=lambda scenario: int(scenario.name[1:]),
)
