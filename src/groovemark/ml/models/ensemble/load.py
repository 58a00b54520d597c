"""Reading ensemble.json, and loading the members that it names."""

from __future__ import annotations

import math
from pathlib import Path

from groovemark.errors import ModelRejected, ModelUnavailable
from groovemark.ml.models import registry
from groovemark.ml.models.base import Classifier, ModelSpec
from groovemark.ml.models.ensemble.classifier import EnsembleClassifier
from groovemark.ml.models.ensemble.members import ENSEMBLE_NAME, find_member, manifest_sha256
from groovemark.ml.models.files import read_json, read_temperature

MEMBERS_MAX = 16


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> EnsembleClassifier:
    """The ensemble in `folder`, its members loaded from the same folder of models.

    Raises:
        ModelUnavailable: a member is missing, or is not the one that the ensemble was made of.
        ModelRejected: a member does not fit, or what is in the folder is damaged.
    """
    content = read_json(folder / ENSEMBLE_NAME)
    entries = content.get("members") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MEMBERS_MAX:
        raise ModelRejected(f"{ENSEMBLE_NAME} must list 1 to {MEMBERS_MAX} members")
    temperature = read_temperature(content, ENSEMBLE_NAME)
    members = [_load_member(folder.parent.parent, entry, spec, threads) for entry in entries]
    first, _ = members[0]
    if first.spec.features.sha256 != spec.features.sha256:
        raise ModelRejected(f"{spec.full_name} must take the features of its first member {first.spec.full_name}")
    ensemble = EnsembleClassifier(spec, members, temperature)
    if ensemble.spec.other_features != spec.other_features:
        raise ModelRejected(f"{spec.full_name} says in its manifest that it takes other features than its members do")
    return ensemble


def _load_member(root: Path, entry: object, spec: ModelSpec, threads: int) -> tuple[Classifier, float]:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{ENSEMBLE_NAME}: a member must be an object")
    full_name, weight, sha256 = (entry.get(key) for key in ("model", "weight", "manifest_sha256"))
    if not isinstance(full_name, str):
        raise ModelRejected(f"{ENSEMBLE_NAME}: a member must be named as name@version")
    if not isinstance(weight, float) or not math.isfinite(weight) or not 0 < weight <= 1:
        raise ModelRejected(f"{ENSEMBLE_NAME}: the weight of {full_name} must be above 0 and at most 1")
    manifest = find_member(root, full_name, task=spec.task, labels=spec.labels, whose=spec.full_name)
    if manifest_sha256(root, full_name) != sha256:
        raise ModelUnavailable(
            f"{full_name} has changed since {spec.full_name} was made of it: train the ensemble again"
        )
    return registry.load(root / manifest.name / manifest.version, threads=threads), weight
