"""G12: mp3 files to rows in the database through the real service, against librosa, LightGBM and the ORM file by file.

OMP_NUM_THREADS=1 .venv/bin/python bench/pipeline.py [--clips 300] [--seed-clips 8] [--rounds 3]

Both have two processes for audio, and each counts PostgreSQL's work in its time on the wall, but not in its processor
time. No two files are equal, so that no cache can help. --model fma-8 takes the other set of features.
"""

from __future__ import annotations

import argparse
import asyncio
import itertools
import time
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from multiprocessing import get_context
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory
from typing import Any

import httpx
import librosa
import lightgbm
import numpy as np
import psutil
from sqlalchemy import ARRAY, Float
from sqlalchemy.ext.asyncio import AsyncSession
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

import clips
from database import fresh_database
from features import librosa_fma, librosa_gtzan
from groovemark.db.session import create_engine
from measure import machine, print_table, verdict
from service_csv import CREDENTIALS, free_port, start, wait_until_ready

FLOOR, STRETCH = 15, 30
PROCESSES = 2
MODELS = Path(__file__).parents[1] / "model"
RATE = 22_050
POLL_S = 0.5
_KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)
"""Of a frame of MPEG 1, layer III, by the index in its header."""


def frames(mp3: bytes) -> Iterator[bytes]:
    """The frames of a file at 44.1 kHz that has no tags."""
    at = 0
    while at + 4 <= len(mp3):
        assert mp3[at] == 0xFF and mp3[at + 1] & 0xFE == 0xFA, at  # noqa: PT018  the sync word of MPEG 1, layer III
        size = 144_000 * _KBITS[mp3[at + 2] >> 4] // clips.SAMPLE_RATE + (mp3[at + 2] >> 1 & 1)
        yield mp3[at : at + size]
        at += size


def distinct_clips(folder: Path) -> Iterator[Path]:
    """Half a minute of mp3 each, endlessly: the recordings, beginning elsewhere each time."""
    recordings = []
    for path in clips.write(folder)["mp3"]:
        first, *rest = frames(path.read_bytes())  # the first says how long the file is
        recordings.append((first, rest))
    for number in itertools.count():
        first, rest = recordings[number % len(recordings)]
        cut = 7 * number % len(rest)
        path = folder / f"track {number}.mp3"
        path.write_bytes(b"".join([first, *rest[cut:], *rest[:cut]]))
        yield path


@dataclass(frozen=True)
class Cost:
    """Seconds a clip: on the wall, and of the processor by who used it."""

    wall_s: float
    cpu_s: Mapping[str, float]


class Service:
    """groovemark as its users run it: an API, and a worker with so many processes for audio."""

    def __init__(self, address: str, processes: Mapping[str, psutil.Process]) -> None:
        self._address, self._processes = address, processes

    def classify(self, paths: Sequence[Path], model: str) -> Cost:
        """From the first byte of the upload until the batch is complete."""
        cpu_s, started = self._cpu_s(), time.perf_counter()
        with ExitStack() as stack, httpx.Client(headers=CREDENTIALS, timeout=600) as client:
            files = [("files", (path.name, stack.enter_context(path.open("rb")))) for path in paths]
            url = f"{self._address}/api/v1/classifier/predict-batch"
            answer = client.post(url, files=files, data={"model": model})
            assert answer.status_code == httpx.codes.ACCEPTED, answer.text
            print(f"  accepted after {time.perf_counter() - started:.2f} s", end="", flush=True)
            while (batch := client.get(self._address + answer.headers["location"]).json())["state"] != "completed":
                assert batch["state"] in ("queued", "running"), batch
                time.sleep(POLL_S)
        wall_s = time.perf_counter() - started
        print(f", complete after {wall_s:.2f} s")
        assert batch["counts"]["succeeded"] == len(paths), batch
        used_s = {name: now - cpu_s[name] for name, now in self._cpu_s().items()}
        return Cost(wall_s / len(paths), {name: seconds / len(paths) for name, seconds in used_s.items()})

    def _cpu_s(self) -> dict[str, float]:
        audio = [child.cpu_times() for child in self._processes["worker"].children()]
        parts = {name: [process.cpu_times()] for name, process in self._processes.items()} | {"audio": audio}
        return {name: sum(times.user + times.system for times in part) for name, part in parts.items()}


@contextmanager
def service(uri: str, home: Path) -> Iterator[Service]:
    environment = {
        "POSTGRES_URI": uri,
        "GROOVEMARK_HOME": str(home),
        "PORT": str(free_port()),
        "CLIENT_ID": CREDENTIALS["client-id"],
        "CLIENT_SECRET": CREDENTIALS["client-secret"],
        "REQUIRE_WORKER": "true",
        "AUDIO_PROCESSES": str(PROCESSES),
        "AUDIO_DEVICE": "cpu",
        "FEATURE_CACHE_BYTES_MAX": "0",
    }
    with ExitStack() as stack:
        processes = {name: start(name, environment) for name in ("serve", "worker")}
        for process in processes.values():
            stack.callback(process.wait)
            stack.callback(process.terminate)
        address = f"http://127.0.0.1:{environment['PORT']}"
        wait_until_ready(address)
        yield Service(address, processes)


class SeedLike:
    """Two processes that take one file after the other: librosa, LightGBM, one object and one commit a track."""

    def __init__(self, uri: str, model: str) -> None:
        self._pool = ProcessPoolExecutor(PROCESSES, get_context("spawn"), _begin, (uri, model))

    def classify(self, paths: Sequence[Path]) -> Cost:
        started = time.perf_counter()
        cpu_s = sum(self._pool.map(_classify, paths))
        return Cost((time.perf_counter() - started) / len(paths), {"audio": cpu_s / len(paths)})

    def close(self) -> None:
        self._pool.shutdown()


class Base(DeclarativeBase):
    pass


class SeedTrack(Base):
    """One table, with no index but its key: the least that such a service writes."""

    __tablename__ = "seed_track"
    id: Mapped[int] = mapped_column(primary_key=True)
    title: Mapped[str]
    label: Mapped[int]
    probabilities: Mapped[list[float]] = mapped_column(ARRAY(Float))


_seed: list[Any] = []
"""What a process keeps from file to file."""


def _begin(uri: str, model: str) -> None:
    """In a fresh process, once."""
    (manifest,) = (MODELS / model).glob("*/manifest.json")
    boosters = [lightgbm.Booster(model_file=path) for path in sorted(manifest.parent.glob("member-0*.txt"))]
    extract = librosa_fma if model.startswith("fma") else librosa_gtzan
    _seed[:] = [asyncio.new_event_loop(), create_engine(uri), boosters, extract]


def _classify(path: Path) -> float:
    """Seconds of the processor."""
    loop, engine, boosters, extract = _seed
    started = time.process_time()
    waveform, _ = librosa.load(path, sr=RATE)
    row = np.resize(extract(waveform), (1, boosters[0].num_feature()))  # a few are computed from the others
    probabilities = np.mean([booster.predict(row, num_threads=1) for booster in boosters], axis=0)[0]
    loop.run_until_complete(_insert(AsyncSession(engine), path.stem, probabilities))
    return time.process_time() - started


async def _insert(session: AsyncSession, title: str, probabilities: np.ndarray) -> None:
    async with session:
        session.add(SeedTrack(title=title, label=int(probabilities.argmax()), probabilities=probabilities.tolist()))
        await session.commit()


async def create_seed_table(uri: str) -> None:
    engine = create_engine(uri)
    async with engine.begin() as connection:
        await connection.run_sync(Base.metadata.create_all)
    await engine.dispose()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=300, help="a round, through the service")
    parser.add_argument("--seed-clips", type=int, default=8, help="a round, file by file")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--model", default="gtzan-10", choices=["gtzan-10", "fma-8"])
    arguments = parser.parse_args()
    with TemporaryDirectory() as folder, fresh_database() as uri, ExitStack() as stack:
        source = distinct_clips(Path(folder))
        asyncio.run(create_seed_table(uri))
        seed = SeedLike(uri, arguments.model)
        stack.callback(seed.close)
        seed.classify(list(itertools.islice(source, 2 * PROCESSES)))  # librosa compiles some of itself
        through_service = stack.enter_context(service(uri, Path(folder) / "home"))
        through_service.classify(list(itertools.islice(source, 2 * PROCESSES)), arguments.model)
        costs: dict[str, list[Cost]] = {"groovemark": [], "file by file": []}
        for _ in range(arguments.rounds):
            paths = list(itertools.islice(source, arguments.clips))
            costs["file by file"].append(seed.classify(paths[: arguments.seed_clips]))
            costs["groovemark"].append(through_service.classify(paths, arguments.model))
    print(f"{machine()}; {arguments.model}, {PROCESSES} processes for audio")
    wall_ms = {name: 1000 * median(cost.wall_s for cost in found) for name, found in costs.items()}
    cpu_ms = {name: 1000 * median(sum(cost.cpu_s.values()) for cost in found) for name, found in costs.items()}
    print_table(
        ["a clip of 30 s", "wall ms", "cpu ms"],
        [[name, f"{wall_ms[name]:.1f}", f"{cpu_ms[name]:.1f}"] for name in costs],
    )
    ours = costs["groovemark"]
    parts = {name: 1000 * median(cost.cpu_s[name] for cost in ours) for name in ("serve", "worker", "audio")}
    print("       groovemark by process:", ", ".join(f"{name} {ms:.1f} ms" for name, ms in parts.items()))
    print(f"       processor time: {cpu_ms['file by file'] / cpu_ms['groovemark']:.1f} times")
    ratio = wall_ms["file by file"] / wall_ms["groovemark"]
    return not verdict(f"G12 (stretch {STRETCH})", ratio, floor=FLOOR)


if __name__ == "__main__":
    raise SystemExit(main())
