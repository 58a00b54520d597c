"""Which processes belong to a cluster: read from /proc, because a pid file can be older than the truth."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Postmaster:
    """A living postmaster, as its pid file describes it. `status` is starting, ready or stopping."""

    pid: int
    port: int
    status: str


def mark_of(data: Path) -> str:
    """The cluster_name, which PostgreSQL shows in the command line of every process of the cluster."""
    return "groovemark-" + hashlib.sha256(str(data).encode()).hexdigest()[:16]


def living(data: Path) -> set[int]:
    """Every living process of the cluster: the postmaster and, even after its death, the backends."""
    mark = mark_of(data).encode()
    pids = (int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdecimal())
    return {pid for pid in pids if _is_server(pid, mark)}


def postmaster_of(data: Path) -> Postmaster | None:
    """The postmaster that the pid file names, if that process lives and is of this very cluster."""
    try:
        lines = (data / "postmaster.pid").read_text().splitlines()
        postmaster = Postmaster(pid=int(lines[0]), port=int(lines[3]), status=lines[7].strip())
    except (FileNotFoundError, IndexError, ValueError):  # none, or one that is being written
        return None
    return postmaster if _is_server(postmaster.pid, mark_of(data).encode()) else None


def _is_server(pid: int, mark: bytes) -> bool:
    """A zombie has an empty command line, a process that inherited the number another one: neither passes."""
    try:
        command = Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return False
    program, _, arguments = command.partition(b"\0")
    if program.startswith(b"postgres: "):
        return mark in program
    return program.rpartition(b"/")[2] == b"postgres" and mark in arguments
