from __future__ import annotations

from collections.abc import Iterator

import httpx
import pytest

from tests.conftest import Service
from tests.ledger import broken_promises


@pytest.fixture(autouse=True)
def the_ledger_balances(service: Service, api: httpx.Client) -> Iterator[None]:
    """After every scenario: counters, labels, items and predictions agree."""
    yield
    assert broken_promises(service.database_uri, api.headers["client-id"]) == {}
