"""An API of its own for attacks: small limits, no worker."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from groovemark.cli.db import upgrade_schema
from tests.attack.target import SMALL_LIMITS, Target, running_api
from tests.conftest import Server


@pytest.fixture(scope="session")
def target(postgres: Server, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Target]:
    uri = postgres.create_database()
    upgrade_schema(uri)
    with running_api(tmp_path_factory.mktemp("attack"), uri, LOG_LEVEL="DEBUG", **SMALL_LIMITS) as running:
        yield running
