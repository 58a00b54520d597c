"""Reading the files of networks on waveforms; nothing in them is executed, and nothing is believed unchecked."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import torch
from torch import nn

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.features.device import resolve
from groovemark.ml.features.sets import WAVEFORM_10S
from groovemark.ml.models.artifact import read_manifest, verify_files
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.checkpoint import (
    CONFIG_NAME,
    EXTRACTOR_NAME,
    WEIGHTS_NAME,
    read_extractor,
    require_entries,
)
from groovemark.ml.models.files import read_json
from groovemark.ml.models.precision import Precision, read_precision
from groovemark.ml.models.tensors import read_tensors
from groovemark.ml.models.waveform.classifier import WaveformClassifier
from groovemark.ml.models.waveform.network import fill, head, make_network, shapes
from groovemark.ml.models.waveform.scoring import PRECISIONS, make_scorer
from groovemark.ml.models.waveform.shape import WaveformShape, read_shape

FAMILY = "waveform"
ANSWERING_NAME = "waveform.json"
FEATURES = WAVEFORM_10S


@dataclass(frozen=True)
class Loaded:
    """A network with its weights.

    Attributes:
        is_normalised: whether it takes windows with a mean of 0 and a variance of 1.
    """

    shape: WaveformShape
    network: nn.Module
    is_normalised: bool

    @property
    def labels(self) -> int:
        """How many it tells apart."""
        return head(self.network).out_features


def load(folder: Path, spec: ModelSpec, *, threads: int = 1, precision: Precision | None = None) -> WaveformClassifier:
    """The classifier whose files `save` wrote into `folder`, on a graphics card where there is one.

    Args:
        precision: in which it answers; the artifact's own by default.

    Raises:
        ModelRejected: a file cannot be used.
        ModelUnavailable: transformers is not installed.
    """
    if spec.features.sha256 != FEATURES.sha256:
        raise ModelRejected(f"{spec.full_name} must take {FEATURES.name}, not {spec.features.name}")
    own = _own_precision(folder / ANSWERING_NAME)
    loaded = read_network(folder, len(spec.labels))
    device = torch.device(resolve("auto"))
    return WaveformClassifier(
        spec,
        make_scorer(loaded.network, precision or own, device, is_normalised=loaded.is_normalised, threads=threads),
    )


def read_network(folder: Path, labels: int) -> Loaded:
    """The network in the folder of an artifact.

    Raises:
        ModelRejected: a file cannot be used.
        ModelUnavailable: transformers is not installed.
    """
    shape = read_shape(read_json(folder / CONFIG_NAME))
    is_normalised = read_scaling(folder)
    network = make_network(shape, labels)
    tensors = read_tensors(folder / WEIGHTS_NAME, shapes(network))
    fill(network, {name: torch.from_numpy(array) for name, array in tensors.items()})
    return Loaded(shape, network, is_normalised)


def read_base(folder: Path) -> Loaded:
    """The network of an artifact of this family, to start from. Raises as `read_network` does."""
    manifest = read_manifest(folder)
    if manifest.family != FAMILY:
        raise ModelRejected(f"{manifest.full_name} is of the family {shorten(manifest.family)}, not {FAMILY}")
    verify_files(folder, manifest)
    return read_network(folder, len(manifest.labels))


def read_scaling(folder: Path) -> bool:
    """Whether windows are given a mean of 0 and a variance of 1. Raises ModelRejected where nothing says so."""
    if not (folder / EXTRACTOR_NAME).is_file():
        raise ModelRejected(f"{folder} holds no {EXTRACTOR_NAME}, which says whether windows are normalised")
    extractor = read_extractor(folder / EXTRACTOR_NAME)
    require_entries(extractor, {"feature_size": 1})
    is_normalised = extractor.get("do_normalize", True)
    if not isinstance(is_normalised, bool):
        raise ModelRejected(f"{EXTRACTOR_NAME}: do_normalize cannot be {shorten(str(is_normalised))}")
    return is_normalised


def _own_precision(path: Path) -> Precision:
    content = read_json(path)
    if not isinstance(content, dict):
        raise ModelRejected(f"{path.name} must be an object")
    return read_precision(content.get("precision"), path.name, PRECISIONS)
