"""The database that a command works on: named clearly where there is none, left as it was found where there is one."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from click.testing import Result
from typer.testing import CliRunner

from groovemark.cli import app
from groovemark.cli.postgres import UP_LOCK, is_running, locked
from groovemark.db import embedded
from tests.conftest import Server


@pytest.fixture(scope="module")
def home() -> Iterator[Path]:
    """A home with a database of the current schema."""
    with TemporaryDirectory(prefix="groovemark-") as folder:
        Path(folder).chmod(0o755)
        made = Path(folder) / "state"
        assert run(made, "db", "upgrade").exit_code == 0
        yield made
        embedded.stop(made)


def run(home: Path, *arguments: str) -> Result:
    return CliRunner().invoke(app, arguments, env={"GROOVEMARK_HOME": str(home), "POSTGRES_URI": None})


@pytest.mark.parametrize("command", [["db", "upgrade"], ["client", "list"], ["up"]], ids=" ".join)
@pytest.mark.parametrize(
    ("uri", "place"),
    [
        ("user:hidden@127.0.0.1:1/db", "127.0.0.1:1/db"),
        ("nonsense.invalid", "nonsense.invalid"),
        ("user:hidden@127.0.0.1:1/db?sslmode=sometimes", "127.0.0.1:1/db"),
    ],
)
def test_database_out_of_reach_is_one_line_with_its_place_and_without_its_password(
    command: list[str], uri: str, place: str, tmp_path: Path
) -> None:
    """`up` and `db upgrade` once ended with the driver's trace."""
    environment = {"POSTGRES_URI": uri, "GROOVEMARK_HOME": str(tmp_path), "PORT": "0"}
    done = CliRunner().invoke(app, command, env=environment)
    assert done.exit_code == 1
    assert done.stderr.startswith(f"groovemark: The database {place} of POSTGRES_URI cannot be reached: ")
    assert done.stderr.count("\n") == 1
    assert "hidden" not in done.output


def test_uri_that_cannot_be_read_does_not_show_its_password(tmp_path: Path) -> None:
    environment = {"POSTGRES_URI": "postgresql://user:hid#den@host/db", "GROOVEMARK_HOME": str(tmp_path)}
    done = CliRunner().invoke(app, ["client", "list"], env=environment)
    assert (done.exit_code, done.stderr.count("\n")) == (1, 1)
    assert "hid" not in done.output


def test_client_in_a_home_without_a_database_makes_none(tmp_path: Path) -> None:
    """It once created an empty cluster wherever it was called."""
    done = run(tmp_path / "elsewhere", "client", "list")
    assert done.exit_code == 1
    assert "Run `groovemark up` first, or set GROOVEMARK_HOME or POSTGRES_URI" in done.stderr
    assert list(tmp_path.iterdir()) == []


def test_client_of_a_database_without_tables_is_told_to_upgrade(postgres: Server) -> None:
    done = CliRunner().invoke(app, ["client", "list"], env={"POSTGRES_URI": postgres.create_database()})
    assert done.exit_code == 1
    assert done.stderr == "groovemark: The database lacks this version's tables; run `groovemark db upgrade`.\n"


def test_command_stops_the_server_that_it_started(home: Path) -> None:
    """PostgreSQL once stayed behind, running."""
    done = run(home, "client", "add", "nightly")
    assert done.exit_code == 0, done.output
    assert not is_running(home)
    assert "nightly" in run(home, "client", "list").stdout


def test_command_leaves_a_running_server_running(home: Path) -> None:
    embedded.start(home)
    assert run(home, "client", "list").exit_code == 0
    assert is_running(home)
    embedded.stop(home)


def test_command_leaves_the_server_to_an_up_that_is_starting(home: Path) -> None:
    with locked(home, UP_LOCK):
        assert run(home, "client", "list").exit_code == 0
        assert is_running(home)
    embedded.stop(home)


def test_home_that_cannot_be_written_is_named() -> None:
    done = run(Path(os.devnull) / "home", "db", "upgrade")
    assert done.exit_code == 1
    assert done.stderr.startswith(f"groovemark: GROOVEMARK_HOME={os.devnull}/home cannot be written to")
