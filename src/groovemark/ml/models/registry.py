"""Which families of models there are, which models are installed, and how one is loaded."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from groovemark.errors import ConfigurationError, ModelRejected, shorten
from groovemark.ml.encoders.encoder import open_encoder
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.models.artifact import MANIFEST_NAME, Manifest, read_manifest, verify_files
from groovemark.ml.models.base import Classifier, ModelSpec
from groovemark.ml.models.encoded import EncodedClassifier
from groovemark.ml.models.later import LaterClassifier, require_libraries

if TYPE_CHECKING:
    from groovemark.ml.training.config import SearchConfig
    from groovemark.ml.training.search import Objective


@dataclass(frozen=True, slots=True)
class Family:
    """Where a family's functions are, as `module:function`, so that naming a family imports nothing.

    Attributes:
        load: (folder, ModelSpec, threads) -> Classifier, from files already verified.
        plan: (settings, ranges, trials, seeds) -> how to fit; refuses settings that the family does not have. Of a
            family with more than one objective, (…, objective).
        fit: (table, targets, labels, inner folds, plan, report) -> a fitted model; see ml.training.measure.Fitted.
        save: (folder, fitted models) -> the names of the files written.
        architectures: of Hugging Face's checkpoints, which become models of this family.
        read_checkpoint: (folder, config) -> ml.models.checkpoint.Checkpoint, of one that has such an architecture.
        takes_torch: whether answering takes torch, which is then imported with the first rows and not before.
        takes_transformers: whether it takes that library as well, in the same way.
        keeps_checkpoints: whether it has the setting `checkpoints`, a folder for the standing of what is taught in
            epochs.
        objectives: of a search of its settings.
        is_one: whether an artifact holds the model of one fit alone, and not several.
        searches_at_random: whether a search draws settings at random; if not, it learns from those it has tried.

    `plan`, `fit` and `save` are empty for a family that is not trained here.
    """

    load: str
    plan: str = ""
    fit: str = ""
    save: str = ""
    architectures: tuple[str, ...] = ()
    read_checkpoint: str = ""
    takes_torch: bool = False
    takes_transformers: bool = False
    require: str = ""
    keeps_checkpoints: bool = False
    objectives: tuple[Objective, ...] = ("log_loss",)
    searches_at_random: bool = False
    is_one: bool = False


FAMILIES: Mapping[str, Family] = {
    "boosting": Family(
        load="groovemark.ml.models.boosting.load:load",
        plan="groovemark.ml.models.boosting.fit:make_plan",
        fit="groovemark.ml.models.boosting.fit:fit",
        save="groovemark.ml.models.boosting.save:save",
    ),
    "cnn": Family(
        load="groovemark.ml.models.cnn.load:load",
        plan="groovemark.ml.models.cnn.fit:make_plan",
        fit="groovemark.ml.models.cnn.fit:fit",
        save="groovemark.ml.models.cnn.save:save",
        takes_torch=True,
        keeps_checkpoints=True,
    ),
    "ensemble": Family(
        load="groovemark.ml.models.ensemble.load:load",
        plan="groovemark.ml.models.ensemble.fit:make_plan",
        fit="groovemark.ml.models.ensemble.fit:fit",
        save="groovemark.ml.models.ensemble.save:save",
    ),
    "forest": Family(
        load="groovemark.ml.models.forest.load:load",
        plan="groovemark.ml.models.forest.fit:make_plan",
        fit="groovemark.ml.models.forest.fit:fit",
        save="groovemark.ml.models.forest.save:save",
        objectives=("log_loss", "weighted_f1"),
        searches_at_random=True,
    ),
    "kernel": Family(
        load="groovemark.ml.models.kernel.load:load",
        plan="groovemark.ml.models.kernel.fit:make_plan",
        fit="groovemark.ml.models.kernel.fit:fit",
        save="groovemark.ml.models.kernel.save:save",
    ),
    "linear": Family(
        load="groovemark.ml.models.linear.load:load",
        plan="groovemark.ml.models.linear.fit:make_plan",
        fit="groovemark.ml.models.linear.fit:fit",
        save="groovemark.ml.models.linear.save:save",
    ),
    "musicnn": Family(load="groovemark.ml.models.musicnn.load:load"),
    "text": Family(
        load="groovemark.ml.models.text.load:load",
        plan="groovemark.ml.models.text.fit:make_plan",
        fit="groovemark.ml.models.text.fit:fit",
        save="groovemark.ml.models.text.save:save",
        keeps_checkpoints=True,
    ),
    "transformer": Family(
        load="groovemark.ml.models.transformer.load:load",
        plan="groovemark.ml.models.transformer.fit:make_plan",
        fit="groovemark.ml.models.transformer.fit:fit",
        save="groovemark.ml.models.transformer.save:save",
        architectures=("ASTForAudioClassification",),
        read_checkpoint="groovemark.ml.models.transformer.checkpoint:read_checkpoint",
        require="groovemark.ml.models.transformer.needs:require",
        takes_torch=True,
        keeps_checkpoints=True,
    ),
    "waveform": Family(
        load="groovemark.ml.models.waveform.load:load",
        plan="groovemark.ml.models.waveform.fit:make_plan",
        fit="groovemark.ml.models.waveform.fit:fit",
        save="groovemark.ml.models.waveform.save:save",
        architectures=(
            "HubertForSequenceClassification",
            "Wav2Vec2ForSequenceClassification",
            "WavLMForSequenceClassification",
        ),
        read_checkpoint="groovemark.ml.models.waveform.checkpoint:read_checkpoint",
        takes_torch=True,
        takes_transformers=True,
        keeps_checkpoints=True,
        is_one=True,
    ),
}


def resolve(reference: str) -> Callable[..., Any]:
    """The function behind `module:function`, imported now."""
    module, _, function = reference.partition(":")
    return cast("Callable[..., Any]", getattr(import_module(module), function))


def make_plan(
    family: str, *, settings: Mapping[str, Any], search: SearchConfig, trials: int, seeds: tuple[int, ...]
) -> Any:
    """How a family that is trained here is to be fitted.

    Args:
        trials: how many settings are tried, whatever `search` says.

    Raises ConfigurationError for settings, ranges or an objective that the family does not have.
    """
    chosen = FAMILIES[family]
    if search.objective not in chosen.objectives:
        able = ", ".join(name for name, other in FAMILIES.items() if search.objective in other.objectives)
        raise ConfigurationError(
            f"search.objective of the family {family} must be {' or '.join(chosen.objectives)}; "
            f"{search.objective} is for {able}"
        )
    further = {"objective": search.objective} if len(chosen.objectives) > 1 else {}
    return resolve(chosen.plan)(settings=settings, ranges=search.ranges, trials=trials, seeds=seeds, **further)


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

    What takes torch is loaded with its first rows; `LaterClassifier` says why.

    Args:
        folder: model/<name>/<version>.
        threads: how many cores one `run` may use.

    Raises:
        ModelRejected: a file is missing, damaged or unsafe, or the model was trained on other features.
        ModelUnavailable: the model stands on an imported network that is not in the same folder of models, or needs
            a library that is not installed.
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
        is_multi_label=manifest.is_multi_label,
        other_features=tuple(_known(manifest, name) for name in manifest.other_features),
    )

    def load_now() -> Classifier:
        return cast("Classifier", resolve(family.load)(folder, spec, threads=threads))

    if family.takes_torch:
        require_libraries(spec, ("torch", "safetensors"), extra="torch")
        if family.takes_transformers:
            require_libraries(spec, ("transformers",), extra="transformer")
        if family.require:
            resolve(family.require)(folder, spec)
        return LaterClassifier(spec, load_now)
    model = load_now()
    if spec.features.encoding is None:
        return model
    return EncodedClassifier(
        model, open_encoder(spec.features, folder.parent.parent, threads=threads, for_whom=manifest.full_name)
    )


def _known(manifest: Manifest, name: str) -> FeatureSpec:
    spec = FEATURE_SETS.get(name)
    if spec is None:
        raise ModelRejected(f"{manifest.full_name} takes the unknown feature set '{shorten(name)}'")
    return spec


def _features(manifest: Manifest) -> FeatureSpec:
    spec = _known(manifest, manifest.features)
    if spec.sha256 != manifest.features_sha256:
        raise ModelRejected(f"{manifest.full_name} was trained on another definition of {spec.name}; train it again")
    return spec
