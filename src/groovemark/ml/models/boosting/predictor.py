"""Boosted trees over many rows at once: LightGBM's raw scores to the last bit, many times faster, no library loaded.

QuickScorer: every node that sends a row to the right rules out the leaves on its left. What is left is one bit a
leaf; after all nodes, in any order, the leftmost leaf that was not ruled out is the row's. There is no path to follow,
so one instruction works on many rows.
Source: Lucchese et al., QuickScorer: a fast algorithm to rank documents with additive ensembles of regression trees,
SIGIR 2015.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, cast

import numpy as np
from llvmlite import ir  # type: ignore[import-untyped]
from numba import njit, types
from numba.extending import intrinsic
from numpy.typing import NDArray

from groovemark.ml.compiling import compiled
from groovemark.ml.models.boosting.native import LibraryPredictor
from groovemark.ml.models.boosting.tree_text import Tree, Trees

ROWS_AT_ONCE = 64
"""Few enough for their columns, leaves and scores to stay in the processor's nearest cache."""
LEAVES_MAX = 32
"""One bit a leaf."""
FEW_LEAVES = 4
"""Up to here a leaf's value is picked by comparing bits; beyond, by counting them."""
STEP_NODES = 3
"""Nodes asked in one pass over the rows: all of a tree of 4 leaves."""
LARGEST_ZERO = float(np.float32(1e-35))
"""LightGBM takes numbers up to here, of either sign, for 0."""
_ALL = np.uint32(0xFFFFFFFF)
_NO_MISSING_VALUES = frozenset({0, 2})
"""LightGBM's decision bits of a node that has NaN count as 0; the second bit then means nothing."""


class Predictor(Protocol):
    """The trees of one file at work."""

    def raw_scores(self, matrix: NDArray[np.float32], /) -> NDArray[np.float64]:
        """(n, d) -> (n, k): of each class the sum of its trees' leaves. Takes one core, and may run in many threads."""


def make_predictor(trees: Trees, text: str) -> Predictor:
    """The fastest that answers what LightGBM would: compiled, or LightGBM itself for trees beyond what is compiled.

    Args:
        text: what `trees` was read from.
    """
    return CompiledPredictor(trees) if can_compile(trees) else LibraryPredictor(text)


def can_compile(trees: Trees) -> bool:
    """Whether no tree has too many leaves, or a node that treats missing values in a way of its own."""
    return all(
        len(tree.leaf_values) <= LEAVES_MAX and _NO_MISSING_VALUES.issuperset(tree.decisions) for tree in trees.trees
    )


class CompiledPredictor:
    """A `Predictor` without LightGBM; see `can_compile` for which trees."""

    def __init__(self, trees: Trees) -> None:
        self._classes, self._features = trees.classes, trees.features
        steps = [_Steps.of(tree) for tree in trees.trees]
        columns = np.concatenate([step.columns for step in steps])
        self._columns, places = np.unique(columns, return_inverse=True)
        self._places = places.reshape(-1, STEP_NODES)
        self._thresholds = np.concatenate([step.thresholds for step in steps]).reshape(-1, STEP_NODES)
        self._kept = np.concatenate([step.kept for step in steps]).reshape(-1, STEP_NODES)
        self._ends = np.cumsum([len(step.columns) // STEP_NODES for step in steps])
        width = max(FEW_LEAVES, *(len(step.leaves) for step in steps))
        self._leaves = np.zeros((len(steps), width))
        for row, step in zip(self._leaves, steps, strict=True):
            row[: len(step.leaves)] = step.leaves
        self.raw_scores(np.zeros((1, self._features), np.float32))  # compiles, or loads what was compiled before

    def raw_scores(self, matrix: NDArray[np.float32], /) -> NDArray[np.float64]:
        """(n, d) -> (n, k), every bit LightGBM's; NaN counts as 0, as there.

        Raises ValueError for a matrix of another type or width.
        """
        if matrix.dtype != np.float32 or matrix.ndim != 2 or matrix.shape[1] != self._features:
            raise ValueError(f"the trees take float32 of {self._features} columns")
        scores = np.empty((len(matrix), self._classes))
        layout = self._columns, self._places, self._thresholds, self._kept, self._ends, self._leaves
        _add_leaves(np.ascontiguousarray(matrix), *layout, scores)
        return scores


@dataclass(frozen=True, slots=True)
class _Steps:
    """One tree's nodes, filled up to whole steps with nodes that rule nothing out.

    Attributes:
        thresholds: the largest float32 that goes to the left.
        kept: one bit a leaf; 0 for the leaves that going to the right rules out.
        leaves: values from left to right, bit 0 being the leftmost.
    """

    columns: NDArray[np.int64]
    thresholds: NDArray[np.float32]
    kept: NDArray[np.uint32]
    leaves: Sequence[float]

    @classmethod
    def of(cls, tree: Tree) -> _Steps:
        nodes = len(tree.columns)
        filler = -nodes % STEP_NODES
        leaves: list[float] = []
        kept = [int(_ALL)] * (nodes + filler)

        def visit(child: int) -> None:
            if child < 0:
                leaves.append(tree.leaf_values[-1 - child])
                return
            first = len(leaves)
            visit(tree.left[child])
            kept[child] &= ~((1 << len(leaves)) - (1 << first))
            visit(tree.right[child])

        visit(0 if nodes else -1)
        return cls(
            columns=np.array(tree.columns + tree.columns[:1] * filler, np.int64),
            thresholds=np.array([largest_to_the_left(number) for number in tree.thresholds] + [np.inf] * filler, "f4"),
            kept=np.array(kept, np.uint32),
            leaves=leaves,
        )


def largest_to_the_left(threshold: float) -> np.float32:
    """The largest float32 that LightGBM sends to the left of a threshold; it first takes what is tiny for 0."""
    if 0 <= threshold < LARGEST_ZERO:
        threshold = LARGEST_ZERO
    elif -LARGEST_ZERO <= threshold < 0:
        threshold = math.nextafter(-LARGEST_ZERO, -math.inf)
    with np.errstate(over="ignore"):
        nearest = np.float32(threshold)
    return nearest if float(nearest) <= threshold else np.nextafter(nearest, np.float32(-np.inf))


def _intrinsic(function: Callable[..., Any]) -> Callable[..., Any]:
    """A single machine instruction that numba has no name for; numba itself passes the first argument."""
    return cast("Callable[..., Any]", intrinsic(function))


@_intrinsic
def _lowest_bit(_context: Any, _bits: Any) -> Any:
    """The number of the lowest bit that is set; some bit must be."""

    def generate(_context: Any, builder: Any, _signature: Any, arguments: Any) -> Any:
        return builder.cttz(arguments[0], ir.Constant(ir.IntType(1), 1))

    return types.uint32(types.uint32), generate


def _inlined(function: Callable[..., Any]) -> Callable[..., Any]:
    """Compile into the caller: handing it arrays by a call would take half of the time."""
    return cast("Callable[..., Any]", njit(nogil=True, error_model="numpy", forceinline=True)(function))


@_inlined
def _turn(rows: NDArray[np.float32], columns: NDArray[np.int64], numbers: NDArray[np.float32]) -> None:
    """Rows' columns, as lines; NaN becomes 0."""
    for place in range(len(columns)):
        column, line = columns[place], numbers[place]
        for row in range(len(rows)):
            number = rows[row, column]
            line[row] = number if number == number else np.float32(0)  # noqa: PLR0124 - NaN is not itself


@_inlined
def _add_values(possible: NDArray[np.uint32], values: NDArray[np.float64], totals: NDArray[np.float64]) -> None:
    """To each row's total the value of its leftmost possible leaf."""
    if len(values) == FEW_LEAVES:
        value_0, value_1, value_2, value_3 = values[0], values[1], values[2], values[3]
        for row in range(ROWS_AT_ONCE):
            value = value_2 if possible[row] & 4 else value_3
            value = value_1 if possible[row] & 2 else value
            totals[row] += value_0 if possible[row] & 1 else value
    else:
        for row in range(ROWS_AT_ONCE):
            totals[row] += values[_lowest_bit(possible[row])]


@compiled
def _add_leaves(
    matrix: NDArray[np.float32],
    columns: NDArray[np.int64],
    places: NDArray[np.int64],
    thresholds: NDArray[np.float32],
    kept: NDArray[np.uint32],
    ends: NDArray[np.int64],
    leaves: NDArray[np.float64],
    scores: NDArray[np.float64],
) -> None:
    """Fill `scores`; like LightGBM's, each begins at 0 and takes the trees of its class one after the other.

    Args:
        matrix: (n, d).
        columns: (c,) those that some node looks at.
        places: (s, STEP_NODES) where in `columns` each node looks; likewise thresholds and kept, as in _Steps.
        ends: (t,) one past each tree's last step.
        leaves: (t, FEW_LEAVES or more).
        scores: (n, k).
    """
    classes = scores.shape[1]
    numbers = np.zeros((len(columns), ROWS_AT_ONCE), np.float32)
    possible = np.empty(ROWS_AT_ONCE, np.uint32)
    totals = np.empty((classes, ROWS_AT_ONCE))
    for start in range(0, len(matrix), ROWS_AT_ONCE):
        rows = matrix[start : start + ROWS_AT_ONCE]
        _turn(rows, columns, numbers)
        totals[:] = 0.0
        step = 0
        for tree in range(len(ends)):
            possible[:] = _ALL
            while step < ends[tree]:
                first, second, third = numbers[places[step, 0]], numbers[places[step, 1]], numbers[places[step, 2]]
                limit_1, limit_2, limit_3 = thresholds[step, 0], thresholds[step, 1], thresholds[step, 2]
                kept_1, kept_2, kept_3 = kept[step, 0], kept[step, 1], kept[step, 2]
                for row in range(ROWS_AT_ONCE):
                    possible[row] &= (
                        (_ALL if first[row] <= limit_1 else kept_1)
                        & (_ALL if second[row] <= limit_2 else kept_2)
                        & (_ALL if third[row] <= limit_3 else kept_3)
                    )
                step += 1
            _add_values(possible, leaves[tree], totals[tree % classes])
        for label in range(classes):
            for row in range(len(rows)):
                scores[start + row, label] = totals[label, row]
