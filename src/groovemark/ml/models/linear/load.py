"""Reading the files of a linear model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected
from groovemark.ml.features.tabular import row_length
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.files import read_arrays, read_json, read_temperature, safe_name
from groovemark.ml.models.linear.classifier import Member, to_numbers
from groovemark.ml.models.mean import MeanClassifier

LINEAR_NAME = "linear.json"
MEMBERS_MAX = 64


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> MeanClassifier[NDArray[np.float64]]:
    """The classifier whose files `save` wrote into `folder`.

    Raises ModelRejected naming the file that cannot be used.
    """
    content = read_json(folder / LINEAR_NAME)
    entries = content.get("members") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MEMBERS_MAX:
        raise ModelRejected(f"{LINEAR_NAME} must list 1 to {MEMBERS_MAX} members")
    return MeanClassifier(spec, [_load_member(folder, entry, spec) for entry in entries], to_numbers, threads=threads)


def _load_member(folder: Path, entry: object, spec: ModelSpec) -> Member:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{LINEAR_NAME}: a member must be an object")
    temperature = read_temperature(entry, LINEAR_NAME)
    name = safe_name(entry.get("arrays"), LINEAR_NAME)
    arrays = read_arrays(folder / name)
    width, labels = row_length(spec.features), len(spec.labels)
    shapes = {"weights": (width, labels), "bias": (labels,)}
    if set(arrays) != set(shapes):
        raise ModelRejected(f"{name} must hold the arrays {', '.join(shapes)}")
    for key, shape in shapes.items():
        if arrays[key].shape != shape or arrays[key].dtype != np.float64 or not np.isfinite(arrays[key]).all():
            raise ModelRejected(f"{name}: {key} must hold finite float64 numbers of the shape {shape}")
    return Member(arrays["weights"], arrays["bias"], temperature)
