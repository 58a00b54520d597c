"""The process in which untrusted audio is read; a Sandbox starts it.

Its one argument is a JSON object. Requests come on standard input, answers leave on standard output, both as
in messages.py. Whatever libraries print goes nowhere.
"""

from __future__ import annotations

import importlib
import json
import os
import signal
import sys
from collections.abc import Callable, Iterator

from groovemark.errors import AudioRejected
from groovemark.ml.audio import confine
from groovemark.ml.audio.messages import (
    FileEnd,
    FileFeatures,
    Rejection,
    Samples,
    decode_request,
    encode_end,
    encode_features,
    encode_rejection,
    encode_samples,
)

Target = Callable[[str, str], FileFeatures | Iterator[Samples | FileEnd]]

START_CPU_S = 120


def _load(target: str) -> Target:
    """The function, ready for its first file: a module that has something to prepare has a `warm_up`."""
    name, _, attribute = target.partition(":")
    module = importlib.import_module(name)
    function: Target = getattr(module, attribute)
    getattr(module, "warm_up", _nothing)()
    return function


def _nothing() -> None:
    """For targets that need no warming up."""


def _answers(target: Target, line: bytes) -> Iterator[tuple[bytes, bool]]:
    """The replies to one request, and whether the process is still fit for another."""
    try:
        found = target(*decode_request(line))
        if isinstance(found, FileFeatures):
            yield encode_features(found), True
        else:
            for part in found:
                yield encode_end(part) if isinstance(part, FileEnd) else encode_samples(part), True
    except AudioRejected as error:
        yield encode_rejection(Rejection(error.reason, error.message)), True
    except MemoryError:
        yield _crashed("Reading the file took more memory than it may."), False
    except Exception as error:
        # Whatever goes wrong in a decoder is this file's failure, not the batch's.
        yield _crashed(f"Reading the file failed: {type(error).__name__}."), False


def _crashed(message: str) -> bytes:
    return encode_rejection(Rejection("decoder_crashed", message))


def main() -> int:
    config = json.loads(sys.argv[1])
    confine.die_with(config["parent"])
    # Ctrl-C reaches the whole process group; when to stop is for the parent to say.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
    confine.limit_cpu(START_CPU_S)
    try:
        target = _load(config["target"])
    except (ImportError, AttributeError) as error:
        lacks = error.name if isinstance(error, ModuleNotFoundError) else None
        answers.write(json.dumps({"failure": str(error), "lacks": lacks}).encode() + b"\n")
        return 1
    # Only now: the target's own code may keep on disk what it compiled.
    confine.limit_memory_and_files(config["memory_bytes"])
    confine.forbid_system_calls()
    answers.write(b'{"ready": true}\n')
    answers.flush()
    for line in sys.stdin.buffer:
        confine.limit_cpu(config["cpu_s"])
        for reply, is_fit in _answers(target, line):
            answers.write(reply)
            answers.flush()
            if not is_fit:
                return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
