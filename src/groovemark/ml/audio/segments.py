"""Cutting a stream of samples into windows."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import numpy as np

from groovemark.ml.audio.decode import Waveform


def windows(
    blocks: Iterable[Waveform],
    *,
    length_samples: int,
    hop_samples: int,
    shortest_samples: int,
    offset_samples: int = 0,
) -> Iterator[Waveform]:
    """Windows of `length_samples`, one every `hop_samples`, from `offset_samples` on.

    A last window that is shorter is kept if it has `shortest_samples`, or if it is the only one. At most one
    window and one block are held at a time.

    Args:
        blocks: (time,) each.

    Yields:
        (time,) each.
    """
    held: list[Waveform] = []
    n_held = n_windows = 0
    skip = offset_samples
    for block in blocks:
        held.append(block[skip:])
        skip = max(0, skip - len(block))
        n_held += len(held[-1])
        while n_held >= length_samples:
            joined = np.concatenate(held)
            yield joined[:length_samples]
            n_windows += 1
            skip = max(0, hop_samples - n_held)
            held = [joined[hop_samples:].copy()]
            n_held = len(held[0])
    if n_held >= shortest_samples or (n_held > 0 and n_windows == 0):
        yield np.concatenate(held)
