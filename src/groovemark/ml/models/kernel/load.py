"""Reading the files of a kernel model."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from groovemark.errors import ModelRejected
from groovemark.ml.features.tabular import FeatureTable, row_length
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.files import read_arrays, read_json, read_temperature, safe_name
from groovemark.ml.models.kernel.classifier import Member
from groovemark.ml.models.kernel.settings import WAVES_MAX
from groovemark.ml.models.mean import MeanClassifier

KERNEL_NAME = "kernel.json"
MEMBERS_MAX = 64
ARRAYS = ("mean", "deviation", "directions", "phases", "weights", "bias")


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> MeanClassifier[FeatureTable]:
    """The classifier whose files `save` wrote into `folder`.

    Raises ModelRejected naming the file that cannot be used.
    """
    content = read_json(folder / KERNEL_NAME)
    entries = content.get("members") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MEMBERS_MAX:
        raise ModelRejected(f"{KERNEL_NAME} must list 1 to {MEMBERS_MAX} members")
    return MeanClassifier(spec, [_load_member(folder, entry, spec) for entry in entries], _as_it_is, threads=threads)


def _load_member(folder: Path, entry: object, spec: ModelSpec) -> Member:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{KERNEL_NAME}: a member must be an object")
    temperature = read_temperature(entry, KERNEL_NAME)
    name = safe_name(entry.get("arrays"), KERNEL_NAME)
    arrays = read_arrays(folder / name)
    if set(arrays) != set(ARRAYS):
        raise ModelRejected(f"{name} must hold the arrays {', '.join(ARRAYS)}")
    width, waves, labels = row_length(spec.features), arrays["phases"].size, len(spec.labels)
    if not 1 <= waves <= WAVES_MAX:
        raise ModelRejected(f"{name}: there must be 1 to {WAVES_MAX} waves")
    shapes = ((width,), (width,), (width, waves), (waves,), (waves, labels), (labels,))
    for key, shape in zip(ARRAYS, shapes, strict=True):
        kind = np.float32 if key == "directions" else np.float64
        if arrays[key].shape != shape or arrays[key].dtype != kind or not np.isfinite(arrays[key]).all():
            raise ModelRejected(f"{name}: {key} must hold finite {kind.__name__} numbers of the shape {shape}")
    if not (arrays["deviation"] > 0).all():
        raise ModelRejected(f"{name}: a deviation must be above 0")
    return Member(**arrays, temperature=temperature)


def _as_it_is(table: FeatureTable) -> FeatureTable:
    """Each member makes waves of its own of it."""
    return table
