"""`groovemark client`: a client's life, seen through the API."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import uuid

import httpx
import pytest
from typer.testing import CliRunner

from groovemark.cli import app
from tests.conftest import Service


def run(service: Service, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "groovemark", "client", *arguments],
        env={**os.environ, "POSTGRES_URI": service.database_uri},
        capture_output=True,
        text=True,
        check=False,
    )


def secret_of(done: subprocess.CompletedProcess[str]) -> str:
    found = re.search(r"client-secret: (\S+)", done.stdout)
    assert found is not None, done.stderr
    return found.group(1)


def status(service: Service, client_id: str, secret: str) -> int:
    headers = {"client-id": client_id, "client-secret": secret}
    return httpx.get(f"{service.address}/api/v1/genre/list", headers=headers).status_code


def test_client_is_added_rotated_twice_and_revoked(service: Service) -> None:
    name = f"nightly-{uuid.uuid4().hex[:8]}"
    first = secret_of(run(service, "add", name, "--catalog", name))
    assert status(service, name, first) == 200
    second = secret_of(run(service, "rotate", name))
    assert [status(service, name, secret) for secret in (first, second)] == [200, 200]
    third = secret_of(run(service, "rotate", name))
    assert [status(service, name, secret) for secret in (first, second, third)] == [401, 200, 200]
    listed = run(service, "list").stdout
    assert name[:8] in listed
    assert third not in listed
    assert run(service, "revoke", name).returncode == 0
    assert status(service, name, third) == 401


def test_adding_a_client_twice_is_refused_and_changes_nothing(service: Service) -> None:
    name = f"twice-{uuid.uuid4().hex[:8]}"
    secret = secret_of(run(service, "add", name))
    again = run(service, "add", name)
    assert again.returncode == 1
    assert "already" in again.stderr
    assert status(service, name, secret) == 200


def test_unknown_client_cannot_be_rotated(service: Service) -> None:
    done = run(service, "rotate", "nobody")
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "groovemark: There is no client 'nobody'.\n"


@pytest.mark.parametrize("client_id", ["", "two words", "tab\t", "müller", "x" * 129])
def test_id_that_no_header_carries_is_refused(client_id: str) -> None:
    """Such clients could be added and could never sign in."""
    done = CliRunner().invoke(app, ["client", "add", client_id], env={"POSTGRES_URI": "nobody.invalid"})
    assert done.exit_code == 1
    assert done.stderr.startswith("groovemark: '")
    assert done.stderr.endswith("1 to 128 printable ASCII characters without spaces.\n")
