"""Networks on waveforms out of checkpoints in Hugging Face's format, and into artifacts that have it as well."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from groovemark.ml.models.checkpoint import (
    Checkpoint,
    is_multi_label,
    read_labels,
    read_weights,
    sort_labels,
)
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.waveform.load import FAMILY, FEATURES, Loaded, read_scaling
from groovemark.ml.models.waveform.network import count_parameters, fill, head, make_network, new_name, shapes
from groovemark.ml.models.waveform.save import write_network
from groovemark.ml.models.waveform.scoring import PRECISIONS
from groovemark.ml.models.waveform.shape import read_shape


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
    labels = sort_labels(head(network), names)
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
        write=_Writer(Loaded(shape, network, is_normalised), labels),
    )


@dataclass(frozen=True)
class _Writer:
    """Of an artifact to which transformers, too, gives its labels."""

    loaded: Loaded
    labels: Sequence[str]

    def __call__(self, folder: Path, precision: Precision) -> list[str]:
        names = dict(enumerate(self.labels))
        about = {"id2label": names, "label2id": {name: at for at, name in names.items()}}
        return write_network(folder, self.loaded, precision, about)
