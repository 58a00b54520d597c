"""Whether one classifier is better than another on the same tracks, or was lucky: McNemar's exact test."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Truths = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two classifiers on the same tracks.

    Attributes:
        tracks: that both have answered.
        only_candidate_right: tracks on which the candidate alone is right.
        only_other_right: tracks on which the other alone is right.
        p_value: how probable so unequal a pair of counts, or a more unequal one, is between equally good classifiers.
    """

    tracks: int
    only_candidate_right: int
    only_other_right: int
    p_value: float


def mcnemar(candidate_right: Truths, other_right: Truths) -> McNemar:
    """The exact test, two-sided: under equality the tracks on which one alone is right fall to each with 1/2.

    Args:
        candidate_right: (n,) whether the candidate is right, a track a place.
        other_right: (n,) the same of the other, the same tracks in the same order.

    Source: McNemar 1947; Dietterich 1998 on comparing classifiers.
    """
    from scipy.stats import binom

    if candidate_right.shape != other_right.shape:
        raise ValueError(f"answers for {candidate_right.shape} and {other_right.shape} tracks cannot be paired")
    better = int((candidate_right & ~other_right).sum())
    worse = int((other_right & ~candidate_right).sum())
    p_value = min(1.0, 2 * float(binom.cdf(min(better, worse), better + worse, 0.5)))
    return McNemar(len(candidate_right), better, worse, p_value)
