"""How torch computes while features are computed, whatever the program around has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import Any

import torch

_lock = Lock()
_asked: list[int] = []
"""The threads that everyone who is inside has asked for."""
_before: dict[str, Any] = {}
"""What the program had chosen when the first one entered."""


def has_bfloat16(device: torch.device) -> bool:
    """Whether the device computes in bfloat16 by instructions of its own, and so faster than in float32."""
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported(including_emulation=False))
    return any(has for name, has in torch.cpu.get_capabilities().items() if "bf16" in name)


@contextmanager
def whole_float32(device: torch.device, threads: int = 1) -> Iterator[None]:
    """At most so many threads, and products in float32 throughout; afterwards as it was before.

    Sums split over several threads differ in their last bit from those of one: more are for those who can do without
    it. Programs that train allow products in TensorFloat-32 or bfloat16, or autocast to them: features would lose more
    than half of their digits. Both are choices of the whole process: of several who are inside at once, the first one
    makes them, the last one takes them back, and the fewest threads are for all.
    """
    _enter(threads)
    try:
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        _leave(threads)


def _enter(threads: int) -> None:
    with _lock:
        if not _asked:
            _before["threads"] = torch.get_num_threads()
            _before["precisions"] = [product.fp32_precision for product in _products()]
            for product in _products():
                product.fp32_precision = "ieee"
        _asked.append(threads)
        torch.set_num_threads(min(_asked))


def _leave(threads: int) -> None:
    with _lock:
        _asked.remove(threads)
        torch.set_num_threads(min(_asked, default=_before["threads"]))
        if not _asked:
            for product, precision in zip(_products(), _before["precisions"], strict=True):
                product.fp32_precision = precision


def _products() -> tuple[Any, ...]:
    """Of matrices and of convolutions; those on a graphics card are in TensorFloat-32 unless told otherwise."""
    backends: Any = torch.backends
    return backends.mkldnn.matmul, backends.cuda.matmul, backends.mkldnn.conv, backends.cudnn.conv
