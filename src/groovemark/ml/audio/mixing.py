"""The mixing of channels into one, in one compiled pass over the samples.

The channels come interleaved, in one dimension: over two, numba's loops do not run in vectors and take four times as
long.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.compiling import compiled


@compiled
def mix_pair(samples: NDArray[np.float32], mixed: NDArray[np.float32]) -> None:
    """(2 · frame,) float32 → (frame,): half the sum."""
    for frame in range(len(mixed)):
        mixed[frame] = (samples[2 * frame] + samples[2 * frame + 1]) * np.float32(0.5)


@compiled
def mix_integer_pair(samples: NDArray[np.int16], mixed: NDArray[np.float32]) -> None:
    """(2 · frame,) of 16 bits → (frame,) in −1..1. Exact: the sum has 17 bits, a float32 holds 24."""
    for frame in range(len(mixed)):
        total = np.float32(samples[2 * frame]) + np.float32(samples[2 * frame + 1])
        mixed[frame] = total * np.float32(1 / 65_536)


def warm_up() -> None:
    """Compile both for what `decode` hands them: a sandboxed child can keep nothing on disk that it compiles later."""
    mixed = np.empty(1, dtype=np.float32)
    mix_pair(np.zeros(2, dtype=np.float32), mixed)
    mix_integer_pair(np.zeros(2, dtype=np.int16), mixed)
