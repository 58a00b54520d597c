"""Writing the files of a network on waveforms, which transformers reads as well."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from groovemark.ml.models.checkpoint import CONFIG_NAME, EXTRACTOR_NAME, SAMPLE_RATE, WEIGHTS_NAME
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.waveform.fit import Fitted
from groovemark.ml.models.waveform.load import ANSWERING_NAME, Loaded


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the one network. Returns the names of the files written; the same network gives the same bytes."""
    (one,) = fitted
    labels = one.network.labels
    return write_network(folder, one.network, one.settings.precision, {"num_labels": labels})


def write_network(folder: Path, loaded: Loaded, precision: Precision, about_labels: Mapping[str, Any]) -> list[str]:
    """Write a network, and what its config is to say about its labels. Returns the names of the files written."""
    from safetensors.numpy import save_file

    state = {name: np.ascontiguousarray(tensor.numpy()) for name, tensor in loaded.network.state_dict().items()}
    save_file(state, folder / WEIGHTS_NAME, {"format": "pt"})
    extractor = {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        "feature_size": 1,
        "sampling_rate": SAMPLE_RATE,
        "padding_value": 0.0,
        "do_normalize": loaded.is_normalised,
    }
    contents = {
        CONFIG_NAME: {**loaded.shape.as_config(), **about_labels},
        EXTRACTOR_NAME: extractor,
        ANSWERING_NAME: {"precision": precision},
    }
    for name, content in contents.items():
        (folder / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    return [WEIGHTS_NAME, *contents]
