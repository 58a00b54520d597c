"""R12: a batch of 10,000 audio files, a tenth of them corrupt, through the real service with one worker and with two.

OMP_NUM_THREADS=1 .venv/bin/python bench/batch.py [--files 10000] [--workers 1 2]

Each worker has one process for audio. The files are sounds of a second in zips of a thousand, no two of the same bytes.
"""

from __future__ import annotations

import argparse
import io
import math
import time
import wave
import zipfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import httpx
import numpy as np
import psutil

from database import fresh_database
from measure import machine, print_table
from service_csv import CREDENTIALS, free_port, peak_bytes, start, wait_until_ready

RATE = 22_050
FILES_A_ZIP = 1_000
CORRUPT_EVERY = 10
POLL_S = 0.5
ERRORS_A_PAGE = 1_000
MIB = 1024**2


def sound() -> bytes:
    """A chord in noise, of one second."""
    random = np.random.default_rng(1)
    time_s = np.arange(RATE) / RATE
    chord = sum(np.sin(2 * np.pi * hertz * time_s) for hertz in (220.0, 330.0, 440.0))
    samples = 0.2 * chord + 0.1 * random.standard_normal(RATE)
    file = io.BytesIO()
    with wave.open(file, "wb") as target:
        target.setnchannels(1)
        target.setsampwidth(2)
        target.setframerate(RATE)
        target.writeframes((samples.clip(-0.99, 0.99) * 32_767).astype("<i2").tobytes())
    return file.getvalue()


def is_corrupt(number: int) -> bool:
    return number % CORRUPT_EVERY == 0


def file_name(number: int) -> str:
    return f"{number:07}.wav"


def write_zips(folder: Path, count: int) -> list[Path]:
    clip, paths = sound(), []
    for start_number in range(0, count, FILES_A_ZIP):
        paths.append(folder / f"{start_number}.zip")
        with zipfile.ZipFile(paths[-1], "w") as archive:
            for number in range(start_number, min(start_number + FILES_A_ZIP, count)):
                mark = number.to_bytes(4, "little")
                whole = clip[:-4] + mark
                archive.writestr(file_name(number), b"RIFF" + mark + whole[600:2000] if is_corrupt(number) else whole)
    return paths


@dataclass(frozen=True)
class Run:
    items_a_second: float
    accepted_s: float
    api_bytes: int
    worker_bytes: int
    """The largest of the workers."""
    decoder_bytes: int
    """The largest of the processes that decode, which are children of the workers."""


@contextmanager
def service(uri: str, home: Path, workers: int) -> Iterator[tuple[str, psutil.Popen, list[psutil.Popen]]]:
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(free_port()),
        "CLIENT_ID": CREDENTIALS["client-id"],
        "CLIENT_SECRET": CREDENTIALS["client-secret"],
        "REQUIRE_WORKER": "true",
        "AUDIO_PROCESSES": "1",
        "AUDIO_DEVICE": "cpu",
        "FEATURE_CACHE_BYTES_MAX": "0",
    }
    with ExitStack() as stack:
        processes = [start(command, environment) for command in ("serve", *["worker"] * workers)]
        for process in processes:
            stack.callback(process.wait)
            stack.callback(process.terminate)
        address = f"http://127.0.0.1:{environment['PORT']}"
        wait_until_ready(address)
        yield address, processes[0], processes[1:]


def run(uri: str, home: Path, zips: Sequence[Path], count: int, workers: int) -> Run:
    """From the first byte of the upload until the batch is complete."""
    with service(uri, home, workers) as (address, api, crew), httpx.Client(headers=CREDENTIALS, timeout=600) as client:
        started = time.perf_counter()
        with ExitStack() as stack:
            files = [("files", (path.name, stack.enter_context(path.open("rb")))) for path in zips]
            answer = client.post(f"{address}/api/v1/classifier/predict-batch", files=files)
        assert answer.status_code == httpx.codes.ACCEPTED, answer.text
        accepted_s = time.perf_counter() - started
        place = address + answer.headers["location"]
        while (batch := client.get(place).json())["state"] in ("queued", "running"):
            time.sleep(POLL_S)
        taken_s = time.perf_counter() - started
        check(client, place, batch, count)
        decoders = [child for worker in crew for child in worker.children(recursive=True)]
        peaks = [max(map(peak_bytes, processes)) for processes in ([api], crew, decoders)]
        return Run(count / taken_s, accepted_s, *peaks)


def check(client: httpx.Client, place: str, batch: dict[str, object], count: int) -> None:
    """Exactly the corrupt ones failed, and each says which it is, its code and why."""
    corrupt = {file_name(number) for number in range(count) if is_corrupt(number)}
    counts = batch["counts"]
    assert isinstance(counts, dict)
    assert batch["state"] == "completed", batch
    assert (counts["items"], counts["failed"]) == (count, len(corrupt)), counts
    assert counts["succeeded"] == count - len(corrupt), counts
    errors = list(all_errors(client, place))
    assert all(error["code"] and error["message"] for error in errors)
    assert sorted(error["item"] for error in errors) == sorted(corrupt)


def all_errors(client: httpx.Client, place: str) -> Iterator[dict[str, str]]:
    url = f"{place}/errors?limit={ERRORS_A_PAGE}"
    while url:
        answer = client.get(url)
        yield from answer.json()["errors"]
        url = str(answer.url.join(answer.links["next"]["url"])) if "next" in answer.links else ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--files", type=int, default=10_000)
    parser.add_argument("--workers", type=int, nargs="+", default=[1, 2])
    arguments = parser.parse_args()
    rows = []
    with TemporaryDirectory() as folder:
        zips = write_zips(Path(folder), arguments.files)
        for workers in arguments.workers:
            with fresh_database() as uri:
                found = run(uri, Path(folder) / f"home{workers}", zips, arguments.files, workers)
            rows.append(
                [
                    str(workers),
                    f"{found.items_a_second:.1f}",
                    f"{found.accepted_s:.1f}",
                    f"{math.ceil(found.api_bytes / MIB)}",
                    f"{math.ceil(found.worker_bytes / MIB)}",
                    f"{math.ceil(found.decoder_bytes / MIB)}",
                ]
            )
    print(f"{machine()}; {arguments.files} files, a tenth of them corrupt")
    print_table(["workers", "items/s", "accepted after s", "API peak MiB", "worker peak MiB", "decoder peak MiB"], rows)
    print("       R12: exactly the corrupt files failed, each with item, code and message")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
