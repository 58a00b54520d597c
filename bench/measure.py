"""What every benchmark shares: contenders measured in turn, medians, peak memory of a fresh process, the machine.

Scripts in this folder must not be named after modules of the standard library: Python puts the folder first in its
search path.
"""

from __future__ import annotations

import gc
import json
import os
import platform
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median

MIB = 1 << 20


def machine() -> str:
    """One line about where the figures were taken."""
    processor = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        names = [
            line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")
        ]
        processor = names[0] if names else processor
    return f"{processor}, {os.cpu_count()} cores, Python {platform.python_version()}, {platform.system()}"


@dataclass(frozen=True)
class Timing:
    """Seconds of every round of one contender: of the processor, and by the clock on the wall."""

    cpu_s: tuple[float, ...]
    wall_s: tuple[float, ...]

    @property
    def median_cpu_s(self) -> float:
        return median(self.cpu_s)

    @property
    def median_wall_s(self) -> float:
        return median(self.wall_s)


def take_turns(contenders: Mapping[str, Callable[[], object]], *, rounds: int) -> dict[str, Timing]:
    """Run every contender once a round, so that a busy moment of the machine meets all of them.

    Contenders warm themselves up before; the processor time includes their threads, not their child processes.
    """
    cpu_s: dict[str, list[float]] = {name: [] for name in contenders}
    wall_s: dict[str, list[float]] = {name: [] for name in contenders}
    for _ in range(rounds):
        for name, run in contenders.items():
            gc.collect()
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            cpu_s[name].append(time.process_time() - cpu)
            wall_s[name].append(time.perf_counter() - wall)
    return {name: Timing(tuple(cpu_s[name]), tuple(wall_s[name])) for name in contenders}


@dataclass(frozen=True)
class Memory:
    """Resident memory of one process, in bytes: before its work, and at its highest."""

    idle_bytes: int
    peak_bytes: int

    @property
    def above_idle_bytes(self) -> int:
        return self.peak_bytes - self.idle_bytes


def report_memory(work: Callable[[], object]) -> None:
    """In the fresh process: do the work and print what `memory_of` reads. Call it when all imports are done."""
    idle_bytes = _resident_bytes()
    work()
    peak_bytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)
    print(json.dumps({"idle_bytes": idle_bytes, "peak_bytes": max(idle_bytes, peak_bytes)}))


def memory_of(script: Path, *arguments: str) -> Memory:
    """Run a script, which calls `report_memory`, in a process of its own."""
    command = [sys.executable, str(script), *arguments]
    # A shell in between: a child's peak starts at the memory of the process that forked it.
    result = subprocess.run(["sh", "-c", '"$@"; exit $?', "sh", *command], check=True, capture_output=True, text=True)
    return Memory(**json.loads(result.stdout.splitlines()[-1]))


def _resident_bytes() -> int:
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmRSS"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def print_table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Columns under each other, the first to the left and the others to the right."""
    lines = [head, *rows]
    widths = [max(len(line[column]) for line in lines) for column in range(len(head))]
    for line in lines:
        cells = [
            cell.ljust(width) if not index else cell.rjust(width)
            for index, (cell, width) in enumerate(zip(line, widths, strict=True))
        ]
        print("  ".join(cells))


def verdict(promise: str, value: float, *, floor: float, unit: str = "times", at_most: bool = False) -> bool:
    """Print one promise beside its floor, and say whether it is kept."""
    is_kept = value <= floor if at_most else value >= floor
    bound = "at most" if at_most else "at least"
    print(f"{'kept  ' if is_kept else 'BROKEN'} {promise}: {value:.1f} {unit} ({bound} {floor:g})")
    return is_kept
