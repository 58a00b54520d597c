"""Reading the weights of a network: safetensors of known names and shapes, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected

_HEADER_BYTES_MAX = 1 << 20


def read_tensors(path: Path, shapes: Mapping[str, tuple[int, ...]]) -> dict[str, NDArray[np.float32]]:
    """The tensors in a file, all of them float32 and finite.

    Args:
        shapes: what the file must hold, by name; a file much larger than that is not read at all.

    Raises:
        ModelRejected: the file cannot be read, or holds something else.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    size_bytes = 4 * sum(math.prod(shape) for shape in shapes.values())
    try:
        if path.stat().st_size > size_bytes + _HEADER_BYTES_MAX:
            raise ModelRejected(f"{path.name} is too large: {size_bytes} bytes of weights were expected")
        tensors = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelRejected(f"{path.name} cannot be read as safetensors") from error
    for name in sorted({*shapes, *tensors}):
        found = tensors.get(name)
        if found is None or found.dtype != np.float32 or found.shape != shapes.get(name):
            raise ModelRejected(f"{path.name}: the tensor '{name}' is not float32 of the shape {shapes.get(name)}")
        if not np.isfinite(found).all():
            raise ModelRejected(f"{path.name}: the tensor '{name}' holds something that is not a finite number")
    return tensors
