"""`groovemark up`: PostgreSQL, API and worker together, with a demonstration on an empty database."""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from shlex import quote

import httpx
import typer

from groovemark.cli.db import upgrade_schema
from groovemark.cli.demo.show import show_demo
from groovemark.cli.failing import clear_errors
from groovemark.cli.postgres import UP_LOCK, locked, refuse_unreachable, revive, start_for_up
from groovemark.cli.processes import RESTART_PAUSE_S, Child, stop_event
from groovemark.config import EXAMPLE_SECRET, Settings
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
        with _alone(settings.groovemark_home), _postgres(settings) as uri:
            upgrade_schema(uri)
            _run(settings, uri, stop, demo=demo)
        typer.echo("groovemark: stopped; the data stays in " + str(settings.groovemark_home))


@contextmanager
def _alone(home: Path) -> Iterator[None]:
    """One `up` a home: a second one would stop the first one's PostgreSQL. Raises ConfigurationError."""
    try:
        with locked(home, UP_LOCK, waits=False):
            yield
    except BlockingIOError as error:
        raise ConfigurationError(f"groovemark already runs on {home}; set another GROOVEMARK_HOME.") from error


@contextmanager
def _postgres(settings: Settings) -> Iterator[str]:
    """The database's address. The embedded server ends with `up`."""
    if settings.postgres_uri is not None:
        typer.echo("groovemark: starting")
        refuse_unreachable(settings.postgres_uri)
        yield settings.postgres_uri
        return
    typer.echo("groovemark: starting PostgreSQL")
    uri = start_for_up(settings.groovemark_home)
    try:
        yield uri
    finally:
        embedded.stop(settings.groovemark_home)


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
        address = address_of(settings)
        if _wait_until_ready(address, children, stop):
            _tell(settings, address)
            if demo:
                show_demo_if_possible(settings, address, stop)
        while not stop.wait(RESTART_PAUSE_S):
            if settings.postgres_uri is None:
                uri = _revive_postgres(settings.groovemark_home, uri, children)
            for child in children:
                if child.restart_if_dead():
                    _warn(f"the {child.command} process ended and was started again")
    finally:
        typer.echo("groovemark: stopping")
        for child in children:
            child.ask_to_end()
        for child in children:
            child.wait_until_ended()


def _revive_postgres(home: Path, uri: str, children: list[Child]) -> str:
    """Start the embedded server again where it died; the address it has now. What fails is tried again later."""
    try:
        revived = revive(home)
    except ConfigurationError as error:
        _warn(f"PostgreSQL has ended and cannot be started again: {error.message}")
        return uri
    if revived is None:
        return uri
    _warn("PostgreSQL had ended and was started again")
    if revived != uri:  # another program has its port by now
        for child in children:
            child.move({"POSTGRES_URI": revived})
    return revived


def show_demo_if_possible(settings: Settings, address: str, stop: threading.Event) -> None:
    """A demonstration that fails is no reason to end."""
    if settings.client_id is None or settings.client_secret is None:
        return
    try:
        show_demo(address, settings.client_id, settings.client_secret, stop)
    except httpx.HTTPError as error:
        _warn(f"the demonstration was broken off: {' '.join(str(error).split())}")


def _warn(line: str) -> None:
    typer.secho(f"groovemark: {line}", err=True)


def address_of(settings: Settings) -> str:
    """Where this machine reaches the API."""
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(settings.host, settings.host)  # noqa: S104
    return f"http://[{host}]:{settings.port}" if ":" in host else f"http://{host}:{settings.port}"


def _wait_until_ready(address: str, children: list[Child], stop: threading.Event) -> bool:
    """False when it was told to stop. Raises ConfigurationError when a process ends or takes too long."""
    deadline = time.monotonic() + READY_WITHIN_S
    while not stop.is_set():
        for child in children:
            if child.exit_code is not None:
                raise ConfigurationError(f"The {child.command} process ended at once; its last lines say why.")
        try:
            if httpx.get(f"{address}/ready", timeout=5, trust_env=False).status_code == httpx.codes.OK:
                return True
        except httpx.HTTPError:
            pass  # it does not listen yet
        if time.monotonic() > deadline:
            raise ConfigurationError(f"Not ready within {READY_WITHIN_S:.0f} s; the lines above may say why.")
        stop.wait(POLL_S)
    return False


def _tell(settings: Settings, address: str) -> None:
    client_id = settings.client_id or "YOUR-ID"
    secret = settings.client_secret if settings.client_secret == EXAMPLE_SECRET else "YOUR-SECRET"
    csv = Path(__file__).parent / "demo" / "tracks.csv"
    typer.echo(
        f"""
groovemark is ready. Ctrl-C stops everything; the data stay.
  Swagger       {address}/docs
  credentials   client-id: {client_id}   client-secret: {secret}
  data          {settings.groovemark_home.resolve()}
  try it        curl -H {quote(f"client-id: {client_id}")} -H 'client-secret: {secret}' \\
                  -F {quote(f"csv_file=@{csv}")} {quote(f"{address}/api/v1/classifier/predict-batch")}
"""
    )
