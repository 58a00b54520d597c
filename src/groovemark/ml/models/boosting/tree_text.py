"""LightGBM's text format, checked before the library sees it.

The library trusts its input: a cycle makes it hang, an index out of range makes it read foreign memory, and a wrong
tree_sizes makes it crash. What passes here is exactly what `compact` writes: the header, numerical trees, and
`end of trees`.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass

from groovemark.errors import ModelRejected, shorten

TEXT_BYTES_MAX = 64 << 20
FEATURES_MAX = 100_000
CLASSES_MAX = 1_000
TREES_MAX = 100_000
LEAVES_MAX = 4_096
END = "end of trees"
_HEADER_KEYS = (
    "version",
    "num_class",
    "num_tree_per_iteration",
    "label_index",
    "max_feature_idx",
    "objective",
    "feature_names",
    "feature_infos",
    "tree_sizes",
)
_LEAF_KEYS = ("num_leaves", "num_cat", "leaf_value", "is_linear", "shrinkage")
_NODE_KEYS = ("split_feature", "threshold", "decision_type", "left_child", "right_child")
_INTEGER = re.compile(r"-?[0-9]{1,9}")
_DIGITS = r"-?[0-9]+(\.[0-9]+)?(e[-+]?[0-9]+)?"
_NUMBER = re.compile(_DIGITS)
_INFO = re.compile(rf"none|\[{_DIGITS}:{_DIGITS}\]")
_CATEGORICAL = 1
_DECISION_MAX = 11
_TREE_START = re.compile(r"Tree=([0-9]{1,9})\n")


@dataclass(frozen=True, slots=True)
class Tree:
    """One tree. A child from 0 on is a node, larger than its parent; leaf n as a child is -1 - n.

    Attributes:
        columns, thresholds, decisions, left, right: of each node; decisions as LightGBM's bits.
        leaf_values: one more than there are nodes.
    """

    columns: list[int]
    thresholds: list[float]
    decisions: list[int]
    left: list[int]
    right: list[int]
    leaf_values: list[float]


@dataclass(frozen=True, slots=True)
class Trees:
    """A checked text: tree n adds to the score of class n modulo `classes`."""

    classes: int
    features: int
    trees: tuple[Tree, ...]


def check_trees(text: str) -> Trees:
    """Check the whole structure of a model text, and answer what it says.

    Raises ModelRejected saying which tree and which entry is wrong.
    """
    if len(text) > TEXT_BYTES_MAX or not text.isascii():
        raise ModelRejected("the trees are not ASCII text, or more than 64 MiB of it")
    header_text, _, _ = text.partition("\nTree=")
    classes, features, sizes = _check_header(header_text)
    position = len(header_text) + 1
    trees = []
    for number, size in enumerate(sizes):
        block = text[position : position + size]
        start = _TREE_START.match(block)
        if start is None or start[1] != str(number) or len(block) != size:
            raise ModelRejected(f"tree {number} does not stand where tree_sizes says")
        try:
            trees.append(_check_tree(block[start.end() :], features))
        except ModelRejected as error:
            raise ModelRejected(f"tree {number}: {error.message}") from error
        position += size
    if text[position:].strip() != END:
        raise ModelRejected("the trees must be followed by 'end of trees' and nothing else")
    return Trees(classes=classes, features=features, trees=tuple(trees))


def compact(text: str) -> str:
    """The same trees as LightGBM wrote them, without what prediction does not need (gains, counts, parameters)."""
    body, _, _ = text.partition(f"{END}\n")
    header, *blocks = body.split("\nTree=")
    trees = [_compact_tree(block) for block in blocks]
    entries = _entries(header.split("\n")[1:], _HEADER_KEYS, partial=True)
    entries["tree_sizes"] = " ".join(str(len(tree)) for tree in trees)
    lines = ["tree", *(f"{key}={entries[key]}" for key in _HEADER_KEYS)]
    return "\n".join(lines) + "\n\n" + "".join(trees) + END + "\n"


def _compact_tree(block: str) -> str:
    number, *lines = block.split("\n")
    kept = [line for line in lines if line.partition("=")[0] in {*_LEAF_KEYS, *_NODE_KEYS}]
    return f"Tree={number}\n" + "\n".join(kept) + "\n\n\n"


def _check_header(header: str) -> tuple[int, int, list[int]]:
    """Classes, features, and the size of every tree."""
    first, *lines = header.split("\n")
    if first != "tree":
        raise ModelRejected("the text does not begin with 'tree'")
    entries = _entries(lines, _HEADER_KEYS)
    if entries["version"] != "v4" or entries["label_index"] != "0":
        raise ModelRejected("only version v4 with label_index 0 can be read")
    classes = _integer(entries["num_class"], 2, CLASSES_MAX, "num_class")
    if entries["num_tree_per_iteration"] != str(classes) or entries["objective"] != f"multiclass num_class:{classes}":
        raise ModelRejected("num_class, num_tree_per_iteration and objective contradict each other")
    features = _integer(entries["max_feature_idx"], 0, FEATURES_MAX - 1, "max_feature_idx") + 1
    names, infos = entries["feature_names"].split(" "), entries["feature_infos"].split(" ")
    if len(names) != features or len(set(names)) != features or not all(names):
        raise ModelRejected(f"feature_names must be {features} different names")
    if len(infos) != features or not all(_INFO.fullmatch(info) for info in infos):
        raise ModelRejected(f"feature_infos must be {features} ranges")
    sizes = _integers(entries["tree_sizes"], 1, TEXT_BYTES_MAX, "tree_sizes")
    if len(sizes) % classes or len(sizes) > TREES_MAX:
        raise ModelRejected(f"{len(sizes)} trees are not a usable multiple of {classes} classes")
    return classes, features, sizes


def _check_tree(block: str, features: int) -> Tree:
    entries = _entries(block.split("\n"), (*_LEAF_KEYS, *_NODE_KEYS), partial=True)
    missing = [key for key in _LEAF_KEYS if key not in entries]
    if missing:
        raise ModelRejected(f"lacks {missing[0]}")
    if entries["num_cat"] != "0" or entries["is_linear"] != "0":
        raise ModelRejected("only numerical splits and constant leaves are allowed")
    leaves = _integer(entries["num_leaves"], 1, LEAVES_MAX, "num_leaves")
    values = _numbers(entries["leaf_value"], leaves, "leaf_value")
    _numbers(entries["shrinkage"], 1, "shrinkage")
    if leaves == 1:
        return Tree([], [], [], [], [], values)
    return _check_nodes(entries, values, features)


def _check_nodes(entries: dict[str, str], leaf_values: list[float], features: int) -> Tree:
    missing = [key for key in _NODE_KEYS if key not in entries]
    if missing:
        raise ModelRejected(f"lacks {missing[0]}")
    leaves, nodes = len(leaf_values), len(leaf_values) - 1
    thresholds = _numbers(entries["threshold"], nodes, "threshold")
    columns = _integers(entries["split_feature"], 0, features - 1, "split_feature")
    decisions = _integers(entries["decision_type"], 0, _DECISION_MAX, "decision_type")
    left = _integers(entries["left_child"], -leaves, nodes - 1, "left_child")
    right = _integers(entries["right_child"], -leaves, nodes - 1, "right_child")
    if {len(columns), len(decisions), len(left), len(right)} != {nodes}:
        raise ModelRejected(f"every list of a tree of {leaves} leaves must have {nodes} entries")
    if any(decision & _CATEGORICAL for decision in decisions):
        raise ModelRejected("categorical splits are not allowed")
    # LightGBM numbers nodes as it makes them, so a child's number is larger than its parent's. Together with
    # "every node and leaf has exactly one parent" that leaves no room for a cycle.
    if any(0 <= child <= node for children in (left, right) for node, child in enumerate(children)):
        raise ModelRejected("a child stands before its parent: the tree has a cycle")
    if sorted(left + right) != [*range(-leaves, 0), *range(1, nodes)]:
        raise ModelRejected("a node or leaf has no parent, or more than one")
    return Tree(columns, thresholds, decisions, left, right, leaf_values)


def _entries(lines: list[str], allowed: tuple[str, ...], *, partial: bool = False) -> dict[str, str]:
    entries: dict[str, str] = {}
    for line in filter(None, lines):
        key, separator, value = line.partition("=")
        if not separator or key not in allowed or "=" in value:
            raise ModelRejected(f"'{shorten(line)}' has no place here")
        if key in entries:
            raise ModelRejected(f"'{key}' is given twice")
        entries[key] = value
    if not partial and len(entries) != len(allowed):
        raise ModelRejected(f"lacks {next(key for key in allowed if key not in entries)}")
    return entries


def _integer(text: str, minimum: int, maximum: int, key: str) -> int:
    if not _INTEGER.fullmatch(text) or not minimum <= int(text) <= maximum:
        raise ModelRejected(f"{key} must be whole and from {minimum} to {maximum}, not '{shorten(text)}'")
    return int(text)


def _integers(text: str, minimum: int, maximum: int, key: str) -> list[int]:
    return [_integer(part, minimum, maximum, key) for part in text.split(" ")]


def _numbers(text: str, count: int, key: str) -> list[float]:
    parts = text.split(" ")
    if len(parts) != count:
        raise ModelRejected(f"{key} must have {count} entries, not {len(parts)}")
    numbers = [float(part) if _NUMBER.fullmatch(part) else math.nan for part in parts]
    if not all(map(math.isfinite, numbers)):
        raise ModelRejected(f"{key} holds something that is not a finite number")
    return numbers
