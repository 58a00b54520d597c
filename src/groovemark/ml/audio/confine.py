"""What a child that reads hostile bytes gives up first: memory, time, files, programs, the network (Linux).

Limits that the kernel does not offer here are left out without complaint: the process itself, expendable and
watched, is the main wall.
"""

from __future__ import annotations

import ctypes
import math
import os
import platform
import resource
import signal
import struct
import sys

_PR_SET_PDEATHSIG, _PR_SET_SECCOMP, _PR_SET_NO_NEW_PRIVS = 1, 22, 38
_SECCOMP_MODE_FILTER = 2

# The audit architecture, and the numbers of: socket, execve, execveat, ptrace, kill, process_vm_writev,
# unlinkat, renameat, renameat2, truncate, io_uring_setup and, where they exist, unlink, rename, rmdir.
_DENIED = {
    "x86_64": (0xC000003E, (41, 59, 322, 101, 62, 311, 263, 264, 316, 76, 425, 87, 82, 84)),
    "aarch64": (0xC00000B7, (198, 221, 281, 117, 129, 271, 35, 38, 276, 45, 425)),
}


def die_with(parent_pid: int) -> None:
    """The kernel kills this process when the parent's thread that started it ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != parent_pid:
        sys.exit("the parent has ended")


def limit_memory_and_files(memory_bytes: int) -> None:
    """At most so much writable memory, no file written to, no core dumped."""
    # Not the address space: libraries map far more of it than they ever touch.
    resource.setrlimit(resource.RLIMIT_DATA, (memory_bytes, memory_bytes))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_NOFILE, (256, 256))


def limit_cpu(cpu_s: int) -> None:
    """The kernel ends this process (SIGXCPU) after so many more seconds of processor time."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    used_s = math.ceil(usage.ru_utime + usage.ru_stime)
    resource.setrlimit(resource.RLIMIT_CPU, (used_s + cpu_s, resource.getrlimit(resource.RLIMIT_CPU)[1]))


def forbid_system_calls() -> bool:
    """No sockets, no programs, no other process, no file removed or renamed: such calls fail with EPERM.

    Returns whether the kernel accepted the filter. Threads that run already keep their rights.
    """
    if sys.platform != "linux" or platform.machine() not in _DENIED:
        return False
    architecture, numbers = _DENIED[platform.machine()]
    program = b"".join(_filter(architecture, numbers))
    buffer = ctypes.create_string_buffer(program, len(program))
    filter_program = struct.pack("HxxxxxxP", len(program) // 8, ctypes.addressof(buffer))
    prctl = ctypes.CDLL(None).prctl
    if prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        return False
    return bool(prctl(_PR_SET_SECCOMP, _SECCOMP_MODE_FILTER, filter_program, 0, 0) == 0)


def _filter(architecture: int, numbers: tuple[int, ...]) -> list[bytes]:
    """A classic BPF program over struct seccomp_data (linux/seccomp.h), instruction by instruction."""
    load, jump_equal, jump_at_least, answer = 0x20, 0x15, 0x35, 0x06
    allow, deny, kill = 0x7FFF0000, 0x00050001, 0x80000000
    count = len(numbers)
    instructions = [
        (load, 0, 0, 4),  # the architecture
        (jump_equal, 1, 0, architecture),
        (answer, 0, 0, kill),
        (load, 0, 0, 0),  # the call's number
        (jump_at_least, count + 1, 0, 0x40000000),  # the x32 names of the same calls
        *((jump_equal, count - index, 0, number) for index, number in enumerate(numbers)),
        (answer, 0, 0, allow),
        (answer, 0, 0, deny),
    ]
    return [struct.pack("HBBI", *instruction) for instruction in instructions]
