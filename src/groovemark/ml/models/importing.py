"""Making an artifact of a checkpoint in Hugging Face's format, by the family whose architecture it has."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import cast

from groovemark.errors import ConfigurationError, ModelRejected, shorten
from groovemark.ml.models.artifact import Manifest, describe_files, is_safe_name, replacing, write_manifest
from groovemark.ml.models.checkpoint import CONFIG_NAME, Checkpoint, read_config
from groovemark.ml.models.hub import at_hand
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.registry import FAMILIES, resolve

CARD_NAME = "CARD.md"
VERSION = "1"


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
        source: a folder, or a name on Hugging Face's hub, as `hub.at_hand` takes it.
        task: what the labels are; empty: `tags` where each has a probability of its own, else `genre`.
        is_multi_label: whether each label has a probability of its own; None: as the checkpoint's config says.

    Raises:
        ModelRejected: the checkpoint cannot be used.
        ConfigurationError: it cannot be had, the name is none, it cannot answer in that precision, or the folder of
            models cannot be written to.
    """
    if not is_safe_name(name):
        raise ConfigurationError(f"'{name}' must be a plain name")
    with at_hand(source) as (folder, origin):
        checkpoint = read_checkpoint(folder)
    if precision not in checkpoint.precisions:
        known = ", ".join(checkpoint.precisions)
        raise ConfigurationError(f"{checkpoint.title} cannot answer in {precision}; choose one of {known}")
    multi = checkpoint.is_multi_label if is_multi_label is None else is_multi_label
    task = task or ("tags" if multi else "genre")
    target = models / name / VERSION
    try:
        with replacing(target) as building:
            names = checkpoint.write(building, precision)
            (building / CARD_NAME).write_text(_card(name, origin, checkpoint, task), encoding="utf-8")
            manifest = Manifest(
                name=name,
                version=VERSION,
                title=f"{checkpoint.title}, imported from {origin}",
                family=checkpoint.family,
                task=task,
                labels=checkpoint.labels,
                features=checkpoint.features.name,
                features_sha256=checkpoint.features.sha256,
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


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder. No other file in it is opened than the three, whatever its config says.

    Raises ModelRejected for another architecture, code that it wants to bring along, pickles, and damaged files.
    """
    config = read_config(folder)
    readers = {name: family.read_checkpoint for family in FAMILIES.values() for name in family.architectures}
    for name, reader in readers.items():
        if config.get("architectures") == [name]:
            return cast("Checkpoint", resolve(reader)(folder, config))
    found = shorten(str(config.get("architectures")))
    raise ModelRejected(f"{CONFIG_NAME} has the architecture {found}; supported are {', '.join(readers)}")


def _card(name: str, origin: str, checkpoint: Checkpoint, task: str) -> str:
    """What there is to say about a model that others trained."""
    return f"""# {name} (version {VERSION})

{checkpoint.about} of {checkpoint.parameters:,} parameters, imported from {origin}.
It takes {checkpoint.takes}.
Family: {checkpoint.family}. Features: {checkpoint.features.name}. Task: {task}.

Licence: that of its authors. It was not looked at here, and nothing of this model comes with groovemark.

Figures: none of ours.

Labels: {", ".join(checkpoint.labels)}.
"""
