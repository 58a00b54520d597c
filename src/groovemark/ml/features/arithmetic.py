"""How torch computes while features are computed, whatever the program around has chosen."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def whole_float32(device: torch.device, threads: int = 1) -> Iterator[None]:
    """One thread, and products in float32 throughout; afterwards as it was before.

    Sums split over several threads differ in their last bit from those of one: more are for those who can do without
    it. Programs that train allow products in TensorFloat-32 or bfloat16, or autocast to them: features would lose more
    than half of their digits.
    """
    products = (torch.backends.mkldnn.matmul, torch.backends.cuda.matmul)  # type: ignore[attr-defined]
    before, precisions = torch.get_num_threads(), [product.fp32_precision for product in products]
    try:
        torch.set_num_threads(threads)
        for product in products:
            product.fp32_precision = "ieee"
        with torch.autocast(device.type, enabled=False):
            yield
    finally:
        torch.set_num_threads(before)
        for product, precision in zip(products, precisions, strict=True):
            product.fp32_precision = precision
