"""Which families of models there are, which models are installed, and how one is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any, cast

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.models.artifact import MANIFEST_NAME, Manifest, read_manifest, verify_files
from groovemark.ml.models.base import Classifier, ModelSpec


@dataclass(frozen=True, slots=True)
class Family:
    """Where a family's functions are, as `module:function`, so that naming a family imports nothing.

    Attributes:
        load: (folder, ModelSpec, threads) -> Classifier, from files already verified.
        plan: (settings, ranges, trials, seeds) -> how to fit; refuses settings that the family does not have.
        fit: (table, targets, labels, inner folds, plan, report) -> a fitted model; see ml.training.measure.Fitted.
        save: (folder, fitted models) -> the names of the files written.
    """

    load: str
    plan: str
    fit: str
    save: str


FAMILIES: Mapping[str, Family] = {
    "boosting": Family(
        load="groovemark.ml.models.boosting.load:load",
        plan="groovemark.ml.models.boosting.fit:make_plan",
        fit="groovemark.ml.models.boosting.fit:fit",
        save="groovemark.ml.models.boosting.save:save",
    ),
}


def resolve(reference: str) -> Callable[..., Any]:
    """The function behind `module:function`, imported now."""
    module, _, function = reference.partition(":")
    return cast("Callable[..., Any]", getattr(import_module(module), function))


def installed(root: Path) -> list[Manifest]:
    """Manifests of every model under `root`/<name>/<version>/, by name and version.

    Raises ModelRejected when one of them cannot be read or stands in a folder of another name.
    """
    manifests = []
    for path in sorted(root.glob(f"*/*/{MANIFEST_NAME}")):
        manifest = read_manifest(path.parent)
        if (path.parent.parent.name, path.parent.name) != (manifest.name, manifest.version):
            raise ModelRejected(f"{path} is the manifest of {manifest.full_name}; it stands in the wrong folder")
        manifests.append(manifest)
    return manifests


def load(folder: Path, *, threads: int = 1) -> Classifier:
    """Load the model in `folder`, after checking its manifest, its files and its features.

    Args:
        folder: model/<name>/<version>.
        threads: how many cores one `run` may use.

    Raises:
        ModelRejected: a file is missing, damaged or unsafe, or the model was trained on other features.
    """
    manifest = read_manifest(folder)
    family = FAMILIES.get(manifest.family)
    if family is None:
        known = ", ".join(sorted(FAMILIES))
        raise ModelRejected(
            f"{manifest.full_name} is of the family '{shorten(manifest.family)}'; this version knows {known}"
        )
    verify_files(folder, manifest)
    spec = ModelSpec(
        name=manifest.name,
        version=manifest.version,
        family=manifest.family,
        task=manifest.task,
        features=_features(manifest),
        labels=manifest.labels,
    )
    return cast("Classifier", resolve(family.load)(folder, spec, threads=threads))


def _features(manifest: Manifest) -> FeatureSpec:
    spec = FEATURE_SETS.get(manifest.features)
    if spec is None:
        raise ModelRejected(f"{manifest.full_name} takes the unknown feature set '{shorten(manifest.features)}'")
    if spec.sha256 != manifest.features_sha256:
        raise ModelRejected(f"{manifest.full_name} was trained on another definition of {spec.name}; train it again")
    return spec
