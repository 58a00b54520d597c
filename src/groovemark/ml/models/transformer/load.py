"""Reading the files of spectrogram transformers; nothing in them is executed, and nothing is believed unchecked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.features.device import resolve
from groovemark.ml.models.artifact import read_manifest, verify_files
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.checkpoint import CONFIG_NAME
from groovemark.ml.models.files import read_json, read_temperature, safe_name
from groovemark.ml.models.precision import Precision, read_precision
from groovemark.ml.models.tensors import read_tensors
from groovemark.ml.models.transformer.classifier import Member, ScoringMember, TransformerClassifier
from groovemark.ml.models.transformer.needs import MEMBERS_NAME
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import make_scorer
from groovemark.ml.models.transformer.shape import AstShape, read_shape

FAMILY = "transformer"
MEMBERS_MAX = 64


def load(
    folder: Path, spec: ModelSpec, *, threads: int = 1, precision: Precision | None = None
) -> TransformerClassifier:
    """The classifier whose files `save` wrote into `folder`, on a graphics card where there is one.

    Args:
        precision: in which it answers; the artifact's own by default.

    Raises:
        ModelRejected: a file cannot be used.
        ModelUnavailable: the precision needs a library that is not installed.
    """
    shape = read_shape(read_json(folder / CONFIG_NAME), len(spec.labels))
    if (shape.max_length, shape.num_mel_bins) != spec.features.shape:
        raise ModelRejected(
            f"{CONFIG_NAME}: windows of {(shape.max_length, shape.num_mel_bins)}; "
            f"those of {spec.features.name} are {spec.features.shape}"
        )
    members, own = read_members(folder, shape, len(spec.labels))
    device = torch.device(resolve("auto"))
    ready = [
        ScoringMember(
            [make_scorer(network, precision or own, device, threads=threads) for network in member.networks],
            member.temperature,
        )
        for member in members
    ]
    return TransformerClassifier(spec, ready)


def read_members(folder: Path, shape: AstShape, labels: int) -> tuple[list[Member], Precision]:
    """The networks in `folder`, and the precision in which they are to answer. Raises ModelRejected."""
    content = read_json(folder / MEMBERS_NAME)
    if not isinstance(content, dict):
        raise ModelRejected(f"{MEMBERS_NAME} must be an object")
    members = []
    for entry in _list(content.get("members"), "members"):
        temperature = read_temperature(entry, MEMBERS_NAME)
        names = _list(entry.get("networks"), "networks")
        networks = [read_network(folder / safe_name(name, MEMBERS_NAME), shape, labels) for name in names]
        members.append(Member(networks, temperature))
    return members, read_precision(content.get("precision"), MEMBERS_NAME)


def read_network(path: Path, shape: AstShape, labels: int) -> Network:
    """The network whose weights are in a safetensors file. Raises ModelRejected."""
    with torch.device("meta"):  # nothing is allocated before the file has shown what the config says
        network = Network(shape, labels)
    shapes = {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    tensors = {name: torch.from_numpy(array) for name, array in read_tensors(path, shapes).items()}
    network.load_state_dict(tensors, assign=True)
    return network


def read_base(folder: Path) -> Network:
    """The first network of an artifact of this family, to start from. Raises ModelRejected."""
    manifest = read_manifest(folder)
    if manifest.family != FAMILY:
        raise ModelRejected(f"{manifest.full_name} is of the family {shorten(manifest.family)}, not {FAMILY}")
    verify_files(folder, manifest)
    shape = read_shape(read_json(folder / CONFIG_NAME), len(manifest.labels))
    members, _ = read_members(folder, shape, len(manifest.labels))
    return members[0].networks[0]


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= MEMBERS_MAX:
        raise ModelRejected(f"{MEMBERS_NAME}: {name} must be a list of 1 to {MEMBERS_MAX}")
    return value
