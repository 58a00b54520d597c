"""Health, which asks nobody who they are."""

from __future__ import annotations

import httpx
import pytest

from tests.conftest import Service


@pytest.fixture
def stranger(service: Service) -> httpx.Client:
    return httpx.Client(base_url=service.address)


def test_the_healthcheck_answers_exactly_what_existing_probes_compare(stranger: httpx.Client) -> None:
    assert stranger.get("/api/v1/healthcheck").json() == {
        "status": "success",
        "version": "0.1.0",
        "name": "Music Genre Services API",
    }


def test_the_root_sends_a_browser_to_the_documentation_and_others_to_the_healthcheck(stranger: httpx.Client) -> None:
    browser = stranger.get("/", headers={"accept": "text/html,application/xhtml+xml,*/*;q=0.8"})
    assert (browser.status_code, browser.headers["location"]) == (307, "/docs")
    program = stranger.get("/", headers={"accept": "*/*"})
    assert (program.status_code, program.headers["location"]) == (307, "/api/v1/healthcheck")


@pytest.mark.parametrize("path", ["/docs", "/openapi.json", "/live", "/ready", "/api/v1/healthcheck"])
def test_nobody_is_asked_for_credentials(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 200


@pytest.mark.parametrize("path", ["/api/v1/live", "/api/v1/ready", "/healthcheck"])
def test_probes_have_one_place_each(stranger: httpx.Client, path: str) -> None:
    assert stranger.get(path).status_code == 404


def test_ready_tells_what_it_looked_at(stranger: httpx.Client) -> None:
    assert stranger.get("/ready").json() == {"status": "ready", "database": True, "worker": True}
