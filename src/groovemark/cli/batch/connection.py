"""The API as `groovemark batch` speaks with it: address, credentials, and errors in one line."""

from __future__ import annotations

import ipaddress
import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import typer

from groovemark.errors import RequestRejected, ServiceError, Unavailable

PREFIX = "/api/v1"
TIMEOUT_S = 60.0
ANSWER_S = 330.0
"""The API itself waits for a database, a disk or a worker before it answers."""
FAULTS_SHOWN = 5
FAILED = 2
"""Exit code; 1 says that items failed."""


class Refused(ServiceError):
    """The API answered with an error."""

    def __init__(self, answer: httpx.Response) -> None:
        super().__init__(_told(answer))
        self.answer = answer


def _told(answer: httpx.Response) -> str:
    """The problem's own words, and the first places that are wrong."""
    try:
        body = answer.json()
        faults = body.get("errors", ())
        places = [f"\n  {_place(fault)}{fault['message']}" for fault in faults[:FAULTS_SHOWN]]
        return str(body["detail"]) + "".join(places)
    except (ValueError, KeyError, TypeError, AttributeError):
        return f"{answer.request.url.copy_with(query=None)} answered {answer.status_code}; is it groovemark?"


def _place(fault: dict[str, Any]) -> str:
    parts = [str(fault["item"])] if fault.get("item") else []
    parts += [f"{name} {fault[name]}" for name in ("line", "column") if fault.get(name) is not None]
    return ", ".join(parts) + ": " if parts else ""


@dataclass(frozen=True)
class Connection:
    """Where the API is and who is calling, as far as it was said."""

    url: str
    client_id: str | None
    secret_file: Path | None

    @contextmanager
    def open(self) -> Iterator[httpx.Client]:
        """Raises RequestRejected when address or credentials are missing or cannot be used."""
        host = _host(self.url)
        if not self.client_id:
            raise RequestRejected("Say who you are: set CLIENT_ID, or give --client-id.")
        headers = {"client-id": self.client_id, "client-secret": self._secret()}
        timeout = httpx.Timeout(TIMEOUT_S, read=ANSWER_S)
        # A proxy of the environment cannot reach this machine's loopback.
        trusts = not _is_loopback(host)
        try:
            client = httpx.Client(
                base_url=self.url.rstrip("/") + PREFIX, headers=headers, timeout=timeout, trust_env=trusts
            )
        except (UnicodeEncodeError, httpx.InvalidURL) as error:
            raise RequestRejected("The address or the credentials hold characters that cannot be sent.") from error
        with client:
            yield client

    def _secret(self) -> str:
        """From the file, the environment or the terminal; never from the command line, which others can list."""
        if self.secret_file is not None:
            try:
                secret = self.secret_file.read_text(encoding="utf-8").strip()
            except (OSError, UnicodeDecodeError) as error:
                raise RequestRejected(f"{self.secret_file} cannot be read.") from error
        elif sys.stdin.isatty() and not os.environ.get("CLIENT_SECRET"):
            secret = str(typer.prompt("client-secret", hide_input=True, err=True))
        else:
            secret = os.environ.get("CLIENT_SECRET", "")
        if not secret:
            raise RequestRejected("Set CLIENT_SECRET, or give --secret-file.")
        return secret


def _host(url: str) -> str:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError as error:
        raise RequestRejected(f"'{url}' is no address.") from error
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise RequestRejected(f"'{url}' is no address; it looks like http://127.0.0.1:5000.")
    return parts.hostname


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def asked(api: httpx.Client, method: str, path: str, **options: Any) -> httpx.Response:
    """The answer, if it is a good one. Raises Refused."""
    answer = api.request(method, path, **options)
    if answer.is_error:
        raise Refused(answer)
    return answer


@contextmanager
def exit_codes() -> Iterator[None]:
    """What cannot be done is said in a line and ends with 2."""
    try:
        yield
    except ServiceError as error:
        _end(error.message)
    except httpx.TransportError as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        _end(f"The service does not answer ({reason}).")


def _end(message: str) -> None:
    print(f"groovemark: {message}", file=sys.stderr)
    raise typer.Exit(FAILED)


class Unreachable(Unavailable):
    """The service was away for longer than one waits."""
