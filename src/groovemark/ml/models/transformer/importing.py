"""Making an artifact of a checkpoint in Hugging Face's format."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.sets import AST_FBANK, AST_FBANK_3S
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.models.artifact import Manifest, describe_files, is_safe_name, replacing, write_manifest
from groovemark.ml.models.transformer.checkpoint import Checkpoint, at_hand, read_checkpoint
from groovemark.ml.models.transformer.classifier import Member
from groovemark.ml.models.transformer.load import FAMILY
from groovemark.ml.models.transformer.save import write_members
from groovemark.ml.models.transformer.scoring import Precision
from groovemark.ml.models.transformer.shape import AstShape

CARD_NAME = "CARD.md"
VERSION = "1"
SETS = (AST_FBANK, AST_FBANK_3S)


def import_checkpoint(
    models: Path,
    source: str,
    *,
    name: str,
    task: str = "",
    precision: Precision = "fp32",
    is_multi_label: bool | None = None,
) -> Manifest:
    """Write the artifact `name` into the folder of models, replacing what stood there.

    Args:
        source: a folder, or a name on Hugging Face's hub, as `checkpoint.at_hand` takes it.
        task: what the labels are; empty: `tags` where each has a probability of its own, else `genre`.
        is_multi_label: whether each label has a probability of its own; None: as the checkpoint's config says.

    Raises:
        ModelRejected: the checkpoint cannot be used.
        ConfigurationError: it cannot be had, the name is none, or the folder of models cannot be written to.
    """
    if not is_safe_name(name):
        raise ConfigurationError(f"'{name}' must be a plain name")
    with at_hand(source) as (folder, origin):
        checkpoint = read_checkpoint(folder)
    multi = checkpoint.is_multi_label if is_multi_label is None else is_multi_label
    task = task or ("tags" if multi else "genre")
    spec = _features(checkpoint.network.shape)
    target = models / name / VERSION
    try:
        with replacing(target) as building:
            names = write_members(building, [Member([checkpoint.network], 1.0)], precision)
            (building / CARD_NAME).write_text(_card(name, origin, spec, checkpoint, task), encoding="utf-8")
            manifest = Manifest(
                name=name,
                version=VERSION,
                title=f"Audio Spectrogram Transformer, imported from {origin}",
                family=FAMILY,
                task=task,
                labels=checkpoint.labels,
                features=spec.name,
                features_sha256=spec.sha256,
                metrics={},
                licence="that of the checkpoint's authors, which was not looked at here",
                training_data="not stated by the checkpoint; not seen here",
                created=datetime.now(UTC).date().isoformat(),
                command=f"groovemark model import transformer {source} --name {name}",
                files=describe_files(building, [*names, CARD_NAME]),
                is_multi_label=multi,
            )
            write_manifest(building, manifest)
    except OSError as error:
        raise ConfigurationError(f"{target} cannot be written: {error.strerror}") from error
    return manifest


def _features(shape: AstShape) -> FeatureSpec:
    for spec in SETS:
        if spec.shape == (shape.max_length, shape.num_mel_bins):
            return spec
    known = ", ".join(f"{frames} of {bands} ({spec.name})" for spec in SETS for frames, bands in [spec.shape])
    raise ModelRejected(
        f"config.json has windows of {shape.max_length} frames of {shape.num_mel_bins} bands; known are {known}"
    )


def _card(name: str, origin: str, spec: FeatureSpec, checkpoint: Checkpoint, task: str) -> str:
    """What there is to say about a model that others trained."""
    count = sum(parameter.numel() for parameter in checkpoint.network.parameters())
    return f"""# {name} (version {VERSION})

An Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778) of {count:,} parameters, imported from {origin}.
Family: {FAMILY}. Features: {spec.name}. Task: {task}.

Licence: that of its authors. It was not looked at here, and nothing of this model comes with groovemark.

Figures: none of ours.

Labels: {", ".join(checkpoint.labels)}.
"""
