"""The trees of a forest as flat arrays, and their probabilities by one compiled loop."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.compiling import compiled

LEAF = -1


@dataclass(frozen=True)
class Trees:
    """All trees, one after the other, each in the order in which a walk that goes left first meets its nodes.

    The left child of a node is thus the next node.

    Attributes:
        starts: (t,) int32 number of each tree's root.
        columns: (m,) int32 that each node looks at; LEAF for a leaf.
        thresholds: (m,) float32; a row whose number is at most that goes left.
        targets: (m,) int32: of a node its right child, of a leaf its line in `leaves`.
        leaves: (l, k) float32 probabilities.
    """

    starts: NDArray[np.int32]
    columns: NDArray[np.int32]
    thresholds: NDArray[np.float32]
    targets: NDArray[np.int32]
    leaves: NDArray[np.float32]

    def probabilities(self, matrix: NDArray[np.float32]) -> NDArray[np.float64]:
        """(n, d) -> (n, k): the mean over the trees of the leaves that each row falls into."""
        totals = np.zeros((len(matrix), self.leaves.shape[1]))
        _add_leaves(
            np.ascontiguousarray(matrix),
            self.starts,
            self.columns,
            self.thresholds,
            self.targets,
            self.leaves,
            totals,
        )
        totals /= len(self.starts)
        return totals


@compiled
def _add_leaves(
    matrix: NDArray[np.float32],
    starts: NDArray[np.int32],
    columns: NDArray[np.int32],
    thresholds: NDArray[np.float32],
    targets: NDArray[np.int32],
    leaves: NDArray[np.float32],
    totals: NDArray[np.float64],
) -> None:
    """Add to each row's totals one leaf a tree. Nothing is checked here; see `load`."""
    for tree in range(len(starts)):
        for row in range(len(matrix)):
            node = starts[tree]
            while columns[node] >= 0:
                node = node + 1 if matrix[row, columns[node]] <= thresholds[node] else targets[node]
            leaf = targets[node]
            for label in range(leaves.shape[1]):
                totals[row, label] += leaves[leaf, label]
