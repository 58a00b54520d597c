"""Which models an ensemble is made of: the members' manifests, found beside its own and compared with it."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from pathlib import Path

from groovemark.errors import ModelRejected, ModelUnavailable, shorten
from groovemark.ml.models.artifact import MANIFEST_NAME, Manifest, is_safe_name, read_manifest

ENSEMBLE_NAME = "ensemble.json"
FAMILY = "ensemble"


def find_member(root: Path, full_name: str, *, task: str, labels: Sequence[str], whose: str) -> Manifest:
    """The manifest of the installed model `full_name`, such as `gtzan-10@1`.

    Args:
        root: the folder of models.
        task, labels: that the ensemble `whose` has, and every member must have.

    Raises:
        ModelUnavailable: the member is not installed.
        ModelRejected: it is an ensemble itself, or has another task or labels.
    """
    name, _, version = full_name.partition("@")
    if not is_safe_name(name) or not is_safe_name(version):
        raise ModelRejected(f"{whose} names the member '{shorten(full_name)}', which is no name@version")
    folder = root / name / version
    if not (folder / MANIFEST_NAME).is_file():
        raise ModelUnavailable(
            f"{whose} needs its member {full_name}, which is not in {root}: install or train it first"
        )
    manifest = read_manifest(folder)
    if manifest.family == FAMILY:
        raise ModelRejected(f"{whose} cannot have the member {full_name}, which is an ensemble itself")
    if manifest.task != task:
        raise ModelRejected(f"{whose} has the task {task}, its member {full_name} has {manifest.task}")
    if list(manifest.labels) != list(labels) or manifest.is_multi_label:
        raise ModelRejected(f"{whose} and its member {full_name} do not have the same labels")
    return manifest


def manifest_sha256(root: Path, full_name: str) -> str:
    """Of the member's manifest, which holds the hashes of all its other files."""
    name, _, version = full_name.partition("@")
    return hashlib.sha256((root / name / version / MANIFEST_NAME).read_bytes()).hexdigest()
