"""Reading the files of a forest; what passes here, the compiled loop may follow unchecked."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.files import read_arrays, read_json, read_temperature, safe_name
from groovemark.ml.models.forest.classifier import Member, to_matrix
from groovemark.ml.models.forest.trees import LEAF, Trees
from groovemark.ml.models.mean import MeanClassifier

FOREST_NAME = "forest.json"
MEMBERS_MAX = 64
_TYPES = {"starts": np.int32, "columns": np.int32, "thresholds": np.float32, "targets": np.int32, "leaves": np.float32}
_SUM_SLACK = 1e-4


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> MeanClassifier[NDArray[np.float32]]:
    """The classifier whose files `save` wrote into `folder`; nothing in them is executed or trusted.

    Raises ModelRejected naming the file that cannot be used.
    """
    if spec.features.shape:
        raise ModelRejected(f"forests take columns; {spec.features.name} is a set of tensors")
    content = read_json(folder / FOREST_NAME)
    entries = content.get("members") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MEMBERS_MAX:
        raise ModelRejected(f"{FOREST_NAME} must list 1 to {MEMBERS_MAX} members")
    return MeanClassifier(spec, [_load_member(folder, entry, spec) for entry in entries], to_matrix, threads=threads)


def _load_member(folder: Path, entry: object, spec: ModelSpec) -> Member:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{FOREST_NAME}: a member must be an object")
    temperature = read_temperature(entry, FOREST_NAME)
    name = safe_name(entry.get("arrays"), FOREST_NAME)
    columns = len(spec.features.numeric_names)
    try:
        trees = check_trees(read_arrays(folder / name), columns=columns, labels=len(spec.labels))
    except ModelRejected as error:
        raise ModelRejected(f"{name}: {error.message}") from error
    trees.probabilities(np.zeros((1, columns), np.float32))  # compiles, or loads what was compiled before
    return Member(trees, temperature)


def check_trees(arrays: dict[str, NDArray[Any]], *, columns: int, labels: int) -> Trees:
    """The trees that the arrays describe: every walk through them ends at a leaf, and every leaf is a distribution.

    Args:
        columns: of the rows that will walk.
        labels: that each leaf must have.

    Raises ModelRejected saying what is wrong.
    """
    if set(arrays) != {field.name for field in fields(Trees)}:
        raise ModelRejected(f"must hold the arrays {', '.join(_TYPES)}")
    for name, kind in _TYPES.items():
        dimensions = 2 if name == "leaves" else 1
        if arrays[name].dtype != kind or arrays[name].ndim != dimensions or not len(arrays[name]):
            raise ModelRejected(f"{name} must be {np.dtype(kind).name} of {dimensions} dimensions, and not empty")
    trees = Trees(**arrays)
    nodes = len(trees.columns)
    if len(trees.thresholds) != nodes or len(trees.targets) != nodes:
        raise ModelRejected("columns, thresholds and targets must be of one length")
    if not (np.isfinite(trees.thresholds).all() and np.isfinite(trees.leaves).all()):
        raise ModelRejected("thresholds and leaves must be finite")
    if trees.starts[0] != 0 or (np.diff(trees.starts) <= 0).any() or trees.starts[-1] >= nodes:
        raise ModelRejected("the trees must stand one after the other, the first at 0")
    if trees.columns.min() < LEAF or trees.columns.max() >= columns:
        raise ModelRejected(f"a node looks at a column that {columns} columns do not have")
    _check_targets(trees)
    if trees.leaves.shape[1] != labels:
        raise ModelRejected(f"the leaves are for {trees.leaves.shape[1]} labels, the model has {labels}")
    if trees.leaves.min() < 0 or np.abs(trees.leaves.sum(axis=1, dtype=np.float64) - 1).max() > _SUM_SLACK:
        raise ModelRejected("the probabilities of a leaf must not be negative, and must sum to 1")
    return trees


def _check_targets(trees: Trees) -> None:
    """Both children of a node come after it within its own tree, so that every walk goes forward and ends."""
    numbers = np.arange(len(trees.columns))
    sizes = np.diff(trees.starts, append=len(numbers))
    ends = np.repeat(trees.starts + sizes, sizes)  # of the tree that each node is in
    is_leaf = trees.columns == LEAF
    leaf_lines = trees.targets[is_leaf]
    if len(leaf_lines) and not (leaf_lines.min() >= 0 and leaf_lines.max() < len(trees.leaves)):
        raise ModelRejected("a leaf has no probabilities")
    right, node, end = trees.targets[~is_leaf], numbers[~is_leaf], ends[~is_leaf]
    if (right <= node).any() or (right >= end).any() or (node + 1 >= end).any():
        raise ModelRejected("a child stands before its parent or outside its tree")
