"""`groovemark up`: PostgreSQL, API and worker together, with a demonstration on an empty database."""

from __future__ import annotations

import fcntl
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import typer

from groovemark.cli.db import database_uri, upgrade_schema
from groovemark.cli.demo.show import show_demo
from groovemark.cli.failing import clear_errors
from groovemark.cli.processes import RESTART_PAUSE_S, Child, stop_event
from groovemark.config import Settings
from groovemark.db import embedded
from groovemark.errors import ConfigurationError

READY_WITHIN_S = 180.0
POLL_S = 0.2


def up(
    env_file: Path | None = typer.Option(None, help="Settings that the environment lacks, NAME=value a line."),
    demo: bool = typer.Option(True, help="Classify the bundled demo when the database is empty."),
) -> None:
    """Start everything on this machine and serve until Ctrl-C."""
    with clear_errors():
        if env_file is not None:
            _read_environment(env_file)
        settings = Settings()
        settings.refuse_example_secret()
        stop = stop_event()
        _refuse_taken_port(settings)
        with _alone(settings.groovemark_home):
            typer.echo("groovemark: starting PostgreSQL" if settings.postgres_uri is None else "groovemark: starting")
            uri = database_uri(settings)
            try:
                upgrade_schema(uri)
                _run(settings, uri, stop, demo=demo)
            finally:
                if settings.postgres_uri is None:
                    embedded.stop(settings.groovemark_home)
        typer.echo("groovemark: stopped; the data stays in " + str(settings.groovemark_home))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One `up` a home: a second one would stop the first one's PostgreSQL. Raises ConfigurationError."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            raise ConfigurationError(
                f"groovemark already runs on {home}; set another GROOVEMARK_HOME."
            ) from error
        yield


def _refuse_taken_port(settings: Settings) -> None:
    """Otherwise `up` would take whoever has the port for its own API."""
    family = socket.AF_INET6 if ":" in settings.host else socket.AF_INET
    with socket.socket(family) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((settings.host, settings.port))
        except OSError as error:
            raise ConfigurationError(
                f"Port {settings.port} of {settings.host} cannot be used ({error.strerror}); set PORT to another one."
            ) from error


def _read_environment(path: Path) -> None:
    """NAME=value lines; what the environment already says wins."""
    if not path.is_file():
        raise ConfigurationError(f"There is no file {path}.")
    for line in path.read_text(encoding="utf-8").splitlines():
        name, separator, value = line.partition("=")
        if separator and not line.lstrip().startswith("#"):
            os.environ.setdefault(name.strip(), value.strip())


def _run(settings: Settings, uri: str, stop: threading.Event, *, demo: bool) -> None:
    environment = {"POSTGRES_URI": uri, "REQUIRE_WORKER": "true"}
    children = [Child("serve", environment), Child("worker", environment)]
    try:
        address = _address(settings)
        if _wait_until_ready(address, children, stop):
            _tell(settings, address)
            if demo and settings.client_id is not None and settings.client_secret is not None:
                show_demo(address, settings.client_id, settings.client_secret, stop)
        while not stop.wait(RESTART_PAUSE_S):
            for child in children:
                if child.restart_if_dead():
                    typer.secho(f"groovemark: the {child.command} process ended and was started again", err=True)
    finally:
        typer.echo("groovemark: stopping")
        for child in children:
            child.ask_to_end()
        for child in children:
            child.wait_until_ended()


def _address(settings: Settings) -> str:
    """Where this machine reaches the API."""
    host = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://{host}:{settings.port}"


def _wait_until_ready(address: str, children: list[Child], stop: threading.Event) -> bool:
    """False when it was told to stop. Raises ConfigurationError when a process ends or takes too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not stop.is_set():
        for child in children:
            if child.exit_code is not None:
                raise ConfigurationError(f"The {child.command} process ended at once; its last lines say why.")
        try:
            if httpx.get(f"{address}/ready", timeout=5).status_code == httpx.codes.OK:
                return True
        except httpx.HTTPError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise ConfigurationError(f"Not ready within {READY_WITHIN_S:.0f} s; the lines above may say why.")
        stop.wait(POLL_S)
    return False


def _tell(settings: Settings, address: str) -> None:
    client_id = settings.client_id or "YOUR-ID"
    secret = settings.client_secret if settings.client_secret == "test" else "YOUR-SECRET"  # noqa: S105
    csv = Path(__file__).parent / "demo" / "tracks.csv"
    typer.echo(
        f"""
groovemark is ready.
  Swagger       {address}/docs
  credentials   client-id: {client_id}   client-secret: {secret}
  data          {settings.groovemark_home.resolve()}
  try it        curl -H 'client-id: {client_id}' -H 'client-secret: {secret}' \\
                  -F 'csv_file=@{csv}' {address}/api/v1/classifier/predict-batch
"""
    )
