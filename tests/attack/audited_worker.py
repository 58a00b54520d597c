"""The worker of `groovemark worker`, which writes down whom it calls, and whose names lead where an attacker's would.

The names are answered in the place of the system's resolver; everything above it is the worker's own.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import socket
import sys
from collections.abc import Iterator
from typing import Any

CALLS = "ATTACK_CALLS"
ALLOWED = "127.0.0.2"
_NAMES: dict[str, Iterator[tuple[str, ...]]] = {
    "good.test": itertools.repeat((ALLOWED,)),
    "inside.test": itertools.repeat(("127.0.0.1",)),
    "metadata.test": itertools.repeat(("169.254.169.254",)),
    "private.test": itertools.repeat(("10.0.0.1",)),
    "mapped.test": itertools.repeat(("::ffff:127.0.0.1",)),
    "six.test": itertools.repeat(("::1",)),
    "both.test": itertools.repeat((ALLOWED, "127.0.0.1")),
    "rebind.test": itertools.cycle(((ALLOWED,), ("127.0.0.1",))),
}
_resolve = socket.getaddrinfo


def _answer(host: Any, port: Any, *arguments: Any, **named: Any) -> Any:
    name = host.decode() if isinstance(host, bytes) else host
    if name not in _NAMES:
        return _resolve(host, port, *arguments, **named)
    found: list[Any] = []
    for address in next(_NAMES[name]):
        found += _resolve(address, port, *arguments, **named)
    return found


def _note(event: str, arguments: tuple[Any, ...]) -> None:
    if event in ("socket.connect", "socket.sendto", "socket.sendmsg"):
        address = arguments[1]
        if isinstance(address, tuple):
            with open(os.environ[CALLS], "a") as file:  # noqa: PTH123  as little as can be, inside of a hook
                file.write(f"{address[0]} {address[1]}\n")


if __name__ == "__main__":
    from groovemark.config import Settings
    from groovemark.observability import logging
    from groovemark.worker import run_worker

    socket.getaddrinfo = _answer
    sys.addaudithook(_note)
    settings = Settings()
    logging.configure(level=settings.log_level, format=settings.log_format)
    asyncio.run(run_worker(settings))
