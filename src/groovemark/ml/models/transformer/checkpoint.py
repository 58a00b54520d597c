"""Spectrogram transformers out of checkpoints in Hugging Face's format."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

import torch

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.features.fbank import AUDIOSET_DEVIATION, AUDIOSET_MEAN
from groovemark.ml.features.sets import AST_FBANK, AST_FBANK_3S
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.models.checkpoint import (
    EXTRACTOR_NAME,
    Checkpoint,
    is_multi_label,
    read_extractor,
    read_labels,
    read_weights,
    require_entries,
    sort_labels,
)
from groovemark.ml.models.precision import PRECISIONS, Precision
from groovemark.ml.models.transformer.classifier import Member
from groovemark.ml.models.transformer.load import FAMILY
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.save import write_members
from groovemark.ml.models.transformer.shape import AstShape, read_shape

SETS = (AST_FBANK, AST_FBANK_3S)


def read_checkpoint(folder: Path, config: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint in a folder, its last layer in the order of labels, and for windows that are scaled as ours are.

    Raises ModelRejected for another architecture, code that it wants to bring along, pickles, and damaged files.
    """
    names = read_labels(config)
    shape = read_shape(config, len(names))
    with torch.device("meta"):
        network = Network(shape, len(names))
    shapes = {name: tensor.shape for name, tensor in network.state_dict().items()}
    network.load_state_dict(read_weights(folder, shapes), assign=True)
    if (folder / EXTRACTOR_NAME).is_file():
        _take_our_windows(network, read_extractor(folder / EXTRACTOR_NAME))
    return Checkpoint(
        family=FAMILY,
        title="Audio Spectrogram Transformer",
        about="An Audio Spectrogram Transformer (Gong et al. 2021, arXiv 2104.01778)",
        takes=f"windows of {shape.max_length} frames of {shape.num_mel_bins} bands",
        labels=sort_labels(network.head, names),
        is_multi_label=is_multi_label(config),
        features=_features(shape),
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        precisions=PRECISIONS,
        write=partial(_write, network),
    )


def _write(network: Network, folder: Path, precision: Precision) -> list[str]:
    return write_members(folder, [Member([network], 1.0)], precision)


def _features(shape: AstShape) -> FeatureSpec:
    for spec in SETS:
        if spec.shape == (shape.max_length, shape.num_mel_bins):
            return spec
    known = ", ".join(f"{frames} of {bands} ({spec.name})" for spec in SETS for frames, bands in [spec.shape])
    raise ModelRejected(
        f"config.json has windows of {shape.max_length} frames of {shape.num_mel_bins} bands; known are {known}"
    )


def _take_our_windows(network: Network, extractor: Mapping[str, Any]) -> None:
    """Put the difference between the checkpoint's scaling of windows and ours into the weights of the patches.

    Ours are x = (f − m) / 2s of the filterbank f, with AudioSet's m and s; the checkpoint takes a x + b.
    """
    shape = network.shape
    require_entries(extractor, {"num_mel_bins": shape.num_mel_bins, "max_length": shape.max_length})
    if not extractor.get("do_normalize", True):
        mean, deviation = 0.0, 0.5
    else:
        mean, deviation = (_number(extractor.get(name, usual), name)
                           for name, usual in (("mean", AUDIOSET_MEAN), ("std", AUDIOSET_DEVIATION)))  # fmt: skip
    if deviation <= 0:
        raise ModelRejected(f"{EXTRACTOR_NAME}: std must be above 0")
    scale, shift = AUDIOSET_DEVIATION / deviation, (AUDIOSET_MEAN - mean) / (2 * deviation)
    if (scale, shift) != (1, 0):
        network.take(scale, shift)


def _number(value: object, name: str) -> float:
    if isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= 1e3:
        return float(value)
    raise ModelRejected(f"{EXTRACTOR_NAME}: {name} cannot be {shorten(str(value))}")
