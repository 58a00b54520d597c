"""Does the time of a 401 tell whether a client exists? Unknown id against wrong secret, as a ratio of medians.

    python bench/auth_timing.py [--requests 4000]

Requests alternate between the two on one connection to a real API, so that whatever else the machine does falls on
both alike. The promise: the medians differ by at most 5 %.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
import uuid
from contextlib import suppress
from pathlib import Path

import httpx

from groovemark.cli.db import upgrade_schema
from groovemark.db import embedded

WARM_UP = 200


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--requests", type=int, default=4000, help="of each kind")
    count = arguments.parse_args().requests
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        uri = embedded.start(home).uri
        try:
            upgrade_schema(uri)
            measure(home, uri, count)
        finally:
            embedded.stop(home)


def measure(home: Path, uri: str, count: int) -> None:
    known, address = f"known-{uuid.uuid4().hex}", "http://127.0.0.1:5099"
    unknown = f"never-{uuid.uuid4().hex}"
    environment = {"POSTGRES_URI": uri, "GROOVEMARK_HOME": str(home), "PORT": "5099"}
    api = subprocess.Popen(
        [sys.executable, "-m", "groovemark", "serve"],
        env={**os.environ, **environment, "CLIENT_ID": known, "CLIENT_SECRET": uuid.uuid4().hex},
    )
    try:
        wait_until_ready(address)
        times: dict[str, list[int]] = {known: [], unknown: []}
        with httpx.Client(base_url=address) as client:
            for number in range(count + WARM_UP):
                # Which of the two comes first alternates too.
                for client_id in (known, unknown) if number % 2 else (unknown, known):
                    headers = {"client-id": client_id, "client-secret": "w" * 43}
                    started = time.perf_counter_ns()
                    answer = client.get("/api/v1/genre/list", headers=headers)
                    elapsed = time.perf_counter_ns() - started
                    assert answer.status_code == httpx.codes.UNAUTHORIZED
                    if number >= WARM_UP:
                        times[client_id].append(elapsed)
    finally:
        api.terminate()
        api.wait(30)
    wrong, absent = statistics.median(times[known]), statistics.median(times[unknown])
    print(f"wrong secret  median {wrong / 1e6:.3f} ms\nunknown id    median {absent / 1e6:.3f} ms")
    print(f"ratio         {wrong / absent:.3f} ({count} requests each; promised: 0.95 to 1.05)")


def wait_until_ready(address: str) -> None:
    for _ in range(600):
        with suppress(httpx.HTTPError):
            if httpx.get(f"{address}/ready").status_code == httpx.codes.OK:
                return
        time.sleep(0.1)
    raise SystemExit("the API did not become ready")


if __name__ == "__main__":
    main()
