"""G13: a CSV of 100,000 rows to rows in the database through the real service, and the memory of every process."""

from __future__ import annotations

import argparse
import csv
import os
import random
import socket
import subprocess
import sys
import time
from contextlib import ExitStack
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import psutil

from database import fresh_database
from groovemark.cli.demo.rows import write_echonest_csv
from measure import MIB, machine, print_table, verdict

REPLACED_ROWS_PER_S = 1_465
"""The fastest that was measured of the service which groovemark replaces (1,085 to 1,465 rows/s; 8.3 GiB)."""

FLOOR, STRETCH = 5, 20
PEAK_BYTES_MAX = 500 * MIB
DATA = Path(os.environ.get("GROOVEMARK_DATA", "../shared/data")) / "echonest" / "valid450_labelled.csv"
WHOLE_NUMBERS = {"time_signature", "key", "mode"}
CREDENTIALS = {"client-id": "bench", "client-secret": "bench-secret"}


def write_jittered(path: Path, count: int) -> str:
    """Rows that are all different, so that no cache can help; answers where they come from."""
    if not DATA.exists():
        write_echonest_csv(path, count, seed=1)
        return "invented rows"
    with DATA.open(encoding="utf-8", newline="") as file:
        real = list(csv.DictReader(file))
    names = [name for name in real[0] if name != "genre"]
    chance = random.Random(1)
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(names)
        for number in range(count):
            writer.writerow(_jittered(real[number % len(real)], names, number, chance))
    return "real rows, jittered"


def _jittered(row: dict[str, str], names: list[str], number: int, chance: random.Random) -> list[object]:
    words = row["tags"].split(", ")
    chance.shuffle(words)
    kept = words[: chance.randint(max(1, len(words) // 2), len(words))]
    special: dict[str, object] = {
        "trackID": number,
        "title": f"{row['title']} {number}",
        "tags": ", ".join([*kept, f"w{number}"]),
        **{name: row[name] for name in WHOLE_NUMBERS},
    }
    return [
        special[name] if name in special else f"{float(row[name]) * (1 + chance.gauss(0, 0.02)):.9g}" for name in names
    ]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def start(command: str, environment: dict[str, str]) -> psutil.Popen:
    # A shell in between: a child's peak starts at the memory of the process that forked it.
    line = ["sh", "-c", f'exec "{sys.executable}" -m groovemark {command}']
    return psutil.Popen(line, env={**os.environ, **environment}, stderr=subprocess.DEVNULL)


def wait_until_ready(address: str) -> None:
    for _ in range(600):
        try:
            if httpx.get(f"{address}/ready").status_code == httpx.codes.OK:
                return
        except httpx.HTTPError:
            pass
        time.sleep(0.2)
    raise SystemExit("the service did not become ready")


def peak_bytes(process: psutil.Process) -> int:
    status = Path(f"/proc/{process.pid}/status").read_text()
    return int(next(line for line in status.splitlines() if line.startswith("VmHWM")).split()[1]) * 1024


def measure(path: Path, count: int, rounds: int, uri: str, home: Path) -> bool:
    port = free_port()
    address = f"http://127.0.0.1:{port}"
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(port),
        "CLIENT_ID": CREDENTIALS["client-id"],
        "CLIENT_SECRET": CREDENTIALS["client-secret"],
        "REQUIRE_WORKER": "true",
    }
    with ExitStack() as stack:
        processes = {name: start(name, environment) for name in ("serve", "worker")}
        for process in processes.values():
            stack.callback(process.terminate)
        wait_until_ready(address)
        taken = [post(address, path, count) for _ in range(rounds)]
        peaks = {name: peak_bytes(process) for name, process in processes.items()}
        loaded_torch = "libtorch" in Path(f"/proc/{processes['worker'].pid}/maps").read_text()
    rates = [count / seconds for seconds in taken]
    print(f"{machine()}; {path.stat().st_size / MIB:.0f} MiB")
    print_table(
        ["upload", "seconds", "rows/s"],
        [
            [name, f"{seconds:.1f}", f"{rate:,.0f}"]
            for name, seconds, rate in zip(("first", "the same again", "and again"), taken, rates, strict=False)
        ],
    )
    kept = [
        verdict(f"G13 (stretch {STRETCH})", rates[0] / REPLACED_ROWS_PER_S, floor=FLOOR),
        *(
            verdict(f"G13 peak memory of {name}", peak / MIB, floor=PEAK_BYTES_MAX / MIB, unit="MiB", at_most=True)
            for name, peak in peaks.items()
        ),
    ]
    print("torch is loaded" if loaded_torch else "torch is not loaded")
    return all(kept) and not loaded_torch


def post(address: str, path: Path, count: int) -> float:
    """Seconds until the answer says that every row is in the database."""
    started = time.perf_counter()
    with path.open("rb") as file:
        answer = httpx.post(
            f"{address}/api/v1/predict-batch",
            files={"csv_file": ("tracks.csv", file)},
            headers={**CREDENTIALS, "Prefer": "wait=300"},
            timeout=600,
        )
    assert answer.json()["info"]["total_rows_added_to_db"] == count, answer.text
    return time.perf_counter() - started


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=2)
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, fresh_database() as uri:
        path = Path(folder) / "tracks.csv"
        print(write_jittered(path, arguments.rows))
        return not measure(path, arguments.rows, arguments.rounds, uri, Path(folder) / "home")


if __name__ == "__main__":
    raise SystemExit(main())
