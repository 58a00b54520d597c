"""Checkpoints in Hugging Face's format: a folder of which three files are read, with distrust.

What is common to all architectures; each family reads its own sizes and makes its own network.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.models.files import read_json
from groovemark.ml.models.precision import Precision

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
EXTRACTOR_NAME = "preprocessor_config.json"
"""What was done to the audio; not every folder has it."""
LABELS_MAX = 10_000
PARAMETERS_MAX = 400_000_000
"""More than the largest of these that was published for music; what a config says is allocated only up to here."""
SAMPLE_RATE = 16_000
DTYPES = {"F32": 4, "F16": 2, "BF16": 2}


@dataclass(frozen=True)
class Checkpoint:
    """What a family has made of one.

    Attributes:
        title: of the architecture.
        about: the same as its card begins, with where it was published.
        takes: what it makes of audio, for its card.
        labels: sorted.
        is_multi_label: whether the config says that each label has a probability of its own.
        parameters: how many numbers the network has.
        precisions: in which it can answer.
        write: writes the artifact's files into a folder, for a precision, and returns their names.
    """

    family: str
    title: str
    about: str
    takes: str
    labels: tuple[str, ...]
    is_multi_label: bool
    features: FeatureSpec
    parameters: int
    precisions: Sequence[Precision]
    write: Callable[[Path, Precision], list[str]]


def read_config(folder: Path) -> Mapping[str, Any]:
    """Of a checkpoint. Raises ModelRejected where there is none, and for code that it wants to bring along."""
    if not (folder / CONFIG_NAME).is_file():
        raise ModelRejected(f"{folder} holds no {CONFIG_NAME}")
    return without_code(read_json(folder / CONFIG_NAME))


def without_code(config: object) -> Mapping[str, Any]:
    """What a config.json holds. Raises ModelRejected for code that it wants to bring along."""
    if not isinstance(config, Mapping):
        raise ModelRejected(f"{CONFIG_NAME} must be an object")
    for name in ("auto_map", "trust_remote_code", "custom_pipelines"):
        if config.get(name):
            raise ModelRejected(f"{CONFIG_NAME} wants to bring code along ('{name}'), which is never run here")
    return config


def require_architecture(config: Mapping[str, Any], architecture: str, model_type: str) -> None:
    """Raises ModelRejected for another one."""
    if config.get("architectures") != [architecture] or config.get("model_type") != model_type:
        found = shorten(f"{config.get('architectures')} of the type {config.get('model_type')}")
        raise ModelRejected(f"{CONFIG_NAME} has the architecture {found}, not {architecture} of the type {model_type}")


def read_extractor(path: Path) -> Mapping[str, Any]:
    """What was done to the audio. Raises ModelRejected, also for another sample rate than ours."""
    extractor = read_json(path)
    if not isinstance(extractor, Mapping):
        raise ModelRejected(f"{path.name} must be an object")
    require_entries(extractor, {"sampling_rate": SAMPLE_RATE})
    return extractor


def require_entries(extractor: Mapping[str, Any], taken: Mapping[str, object]) -> None:
    """Raises ModelRejected where an extractor says something else; it may say nothing."""
    for name, value in taken.items():
        if extractor.get(name, value) != value:
            raise ModelRejected(f"{EXTRACTOR_NAME}: {name} is {shorten(str(extractor[name]))}, it must be {value}")


def read_labels(config: Mapping[str, Any]) -> list[str]:
    """By number. Raises ModelRejected."""
    table = config.get("id2label")
    if not isinstance(table, Mapping) or not 2 <= len(table) <= LABELS_MAX:
        raise ModelRejected(f"{CONFIG_NAME}: id2label must name 2 to {LABELS_MAX} labels")
    names = [table.get(str(number)) for number in range(len(table))]
    if not all(isinstance(name, str) and name.strip() and len(name) <= 200 for name in names):
        raise ModelRejected(f"{CONFIG_NAME}: id2label must give every number from 0 a name")
    if len(set(names)) < len(names):
        raise ModelRejected(f"{CONFIG_NAME}: two labels have the same name")
    return [str(name) for name in names]


def sort_labels(head: nn.Linear, names: Sequence[str]) -> tuple[str, ...]:
    """Put the rows of the last layer, which are in the order of `names`, into that of the labels; answers those."""
    order = sorted(range(len(names)), key=lambda place: names[place])
    for parameter in (head.weight, head.bias):
        parameter.data = parameter.data[order]
    return tuple(sorted(names))


def is_multi_label(config: Mapping[str, Any]) -> bool:
    """Whether each label has a probability of its own."""
    return config.get("problem_type") == "multi_label_classification"


def read_weights(
    folder: Path, shapes: Mapping[str, Sequence[int]], *, rename: Callable[[str], str | None] = lambda name: name
) -> dict[str, Tensor]:
    """In float32, whatever the file's; its header is checked before anything is read after it.

    Args:
        shapes: of the network's tensors, by name: the file must hold these and no others.
        rename: from a name in the file to one of the network, or None for a tensor that is not needed.

    Raises ModelRejected for other formats, damaged files, and tensors that are not the network's or not finite.
    """
    from safetensors import SafetensorError, safe_open

    path = folder / WEIGHTS_NAME
    if not path.is_file():
        raise ModelRejected(
            f"{folder} holds no {WEIGHTS_NAME}: other formats, pickles above all, are never read; save it again with "
            "save_pretrained of a recent transformers"
        )
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, "pt") as file:
            names = _names(list(file.keys()), shapes, rename)
            for name, own in names.items():
                found = file.get_slice(own)
                if found.get_shape() != list(shapes[name]):
                    raise _foreign(own)
                if found.get_dtype() not in DTYPES:
                    raise ModelRejected(f"{path.name}: the tensor '{own}' must be one of {', '.join(DTYPES)}")
            for name, own in names.items():
                tensors[name] = file.get_tensor(own).float()
                if not tensors[name].isfinite().all():
                    raise ModelRejected(f"{path.name}: the tensor '{own}' holds something that is not a finite number")
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelRejected(f"{path.name} cannot be read as safetensors") from error
    return tensors


def _names(found: Sequence[str], expected: Mapping[str, object], rename: Callable[[str], str | None]) -> dict[str, str]:
    """The file's name for each of the network's tensors."""
    names: dict[str, str] = {}
    for own in sorted(found):
        name = rename(own)
        if name is None:
            continue
        if name not in expected or name in names:
            raise _foreign(own)
        names[name] = own
    for name in expected:
        if name not in names:
            raise _foreign(name)
    return names


def _foreign(name: str) -> ModelRejected:
    return ModelRejected(f"{WEIGHTS_NAME}: the tensor '{shorten(name)}' is not of {CONFIG_NAME}'s network")
