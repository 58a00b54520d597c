"""Networks on waveforms out of checkpoints in Hugging Face's format, and into artifacts that have it as well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, cast

import numpy as np
from torch import nn

from groovemark.ml.models.checkpoint import (
    CONFIG_NAME,
    EXTRACTOR_NAME,
    SAMPLE_RATE,
    WEIGHTS_NAME,
    Checkpoint,
    is_multi_label,
    read_labels,
    read_weights,
    sort_labels,
)
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.waveform.load import ANSWERING_NAME, FAMILY, FEATURES, read_scaling
from groovemark.ml.models.waveform.network import count_parameters, fill, make_network, new_name, shapes
from groovemark.ml.models.waveform.scoring import PRECISIONS
from groovemark.ml.models.waveform.shape import WaveformShape, read_shape


def read_checkpoint(folder: Path, config: Mapping[str, Any]) -> Checkpoint:
    """The checkpoint in a folder, its last layer in the order of labels.

    Raises:
        ModelRejected: another architecture, code that it wants to bring along, pickles, and damaged files.
        ModelUnavailable: transformers is not installed.
    """
    names = read_labels(config)
    shape = read_shape(config)
    is_normalised = read_scaling(folder)
    network = make_network(shape, len(names))
    fill(network, read_weights(folder, shapes(network), rename=new_name))
    labels = sort_labels(cast("nn.Linear", network.classifier), names)
    architecture = shape.architecture
    scaling = "scaled to a mean of 0 and a variance of 1" if is_normalised else "as they are"
    return Checkpoint(
        family=FAMILY,
        title=architecture.title,
        about=f"{architecture.title} ({architecture.source}) with a head that classifies,",
        takes=f"windows of 10 s of samples at 16 kHz, {scaling}, and is run by transformers' {architecture.name}",
        labels=labels,
        is_multi_label=is_multi_label(config),
        features=FEATURES,
        parameters=count_parameters(network),
        precisions=PRECISIONS,
        write=_Writer(shape, network, labels, is_normalised),
    )


@dataclass(frozen=True)
class _Writer:
    """Of an artifact whose files transformers reads as well, and gives its labels to."""

    shape: WaveformShape
    network: nn.Module
    labels: Sequence[str]
    is_normalised: bool

    def __call__(self, folder: Path, precision: Precision) -> list[str]:
        from safetensors.numpy import save_file

        state = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in self.network.state_dict().items()}
        save_file(state, folder / WEIGHTS_NAME, {"format": "pt"})
        names = dict(enumerate(self.labels))
        config = {**self.shape.as_config(), "id2label": names, "label2id": {name: at for at, name in names.items()}}
        extractor = {
            "feature_extractor_type": "Wav2Vec2FeatureExtractor",
            "feature_size": 1,
            "sampling_rate": SAMPLE_RATE,
            "padding_value": 0.0,
            "do_normalize": self.is_normalised,
        }
        contents = {CONFIG_NAME: config, EXTRACTOR_NAME: extractor, ANSWERING_NAME: {"precision": precision}}
        for name, content in contents.items():
            (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
        return [WEIGHTS_NAME, *contents]
