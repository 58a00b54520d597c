"""Weights of a frozen network on disk (safetensors), and what identifies them."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected

Weights = Mapping[str, NDArray[np.float32]]


def weights_sha256(weights: Weights) -> str:
    """Of names, shapes and numbers, in the order of the names: the same in whatever file they lie."""
    digest = hashlib.sha256()
    for name in sorted(weights):
        array = np.ascontiguousarray(weights[name], dtype="<f4")
        digest.update(f"{name} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def write_weights(path: Path, weights: Weights) -> None:
    """As safetensors; the same weights give the same bytes."""
    from safetensors.numpy import save_file

    save_file({name: np.ascontiguousarray(weights[name], dtype=np.float32) for name in sorted(weights)}, path)


def read_weights(path: Path, sha256: str, *, bytes_max: int) -> dict[str, NDArray[np.float32]]:
    """The tensors of a safetensors file, which must be the ones with this `weights_sha256`.

    Raises ModelRejected when they are others, or the file cannot be read.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        if path.stat().st_size > bytes_max:
            raise ModelRejected(f"{path.name} is larger than {bytes_max} bytes")
        weights = load(path.read_bytes())
    except (OSError, SafetensorError, ValueError, TypeError, KeyError) as error:
        raise ModelRejected(f"{path.name} cannot be read as safetensors") from error
    check_weights(weights, sha256, name=path.name)
    return weights


def check_weights(weights: Weights, sha256: str, *, name: str) -> None:
    """Raises ModelRejected, naming what they came from, where they are others."""
    is_plain = all(array.dtype == np.float32 for array in weights.values())
    if not is_plain or weights_sha256(weights) != sha256:
        raise ModelRejected(f"{name} does not hold the expected weights: their sha256 is not {sha256[:16]}…")
