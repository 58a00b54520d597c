"""Checkpoints in Hugging Face's format: a folder, or a name on its hub, of which three files are read with distrust."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, cast

import torch
from torch import Tensor

from groovemark.errors import ConfigurationError, ModelRejected, shorten
from groovemark.ml.features.fbank import AUDIOSET_DEVIATION, AUDIOSET_MEAN
from groovemark.ml.models.files import JSON_BYTES_MAX, read_json
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.shape import PARAMETERS_MAX, AstShape, read_shape

CONFIG_NAME = "config.json"
WEIGHTS_NAME = "model.safetensors"
EXTRACTOR_NAME = "preprocessor_config.json"
"""What was done to the audio; not every folder has it."""
LABELS_MAX = 10_000
SAMPLE_RATE = 16_000
DTYPES = {"F32": 4, "F16": 2, "BF16": 2}
_HUB_NAME = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_HUB = "https://huggingface.co"
_BYTES_MAX = {CONFIG_NAME: JSON_BYTES_MAX, EXTRACTOR_NAME: JSON_BYTES_MAX, WEIGHTS_NAME: 4 * PARAMETERS_MAX}


@dataclass(frozen=True)
class Checkpoint:
    """A network with what its config says besides.

    Attributes:
        network: its last layer in the order of `labels`, and for windows that are scaled as ours are.
        labels: sorted.
        is_multi_label: whether the config says that each label has a probability of its own.
    """

    network: Network
    labels: tuple[str, ...]
    is_multi_label: bool


@contextmanager
def at_hand(source: str) -> Iterator[tuple[Path, str]]:
    """The folder of a checkpoint, and where it comes from in words.

    Args:
        source: a folder, or a name such as MIT/ast-finetuned-audioset-10-10-0.4593.

    Raises ConfigurationError where it is neither, or the hub cannot be reached.
    """
    if Path(source).is_dir():
        yield Path(source), f"the folder {Path(source).name}"
    elif _HUB_NAME.fullmatch(source) is None or ".." in source:
        raise ConfigurationError(f"'{shorten(source)}' is neither a folder nor a name on the hub, such as MIT/ast-…")
    else:
        with TemporaryDirectory(prefix="groovemark-") as folder:
            yield Path(folder), _download(source, Path(folder))


def read_checkpoint(folder: Path) -> Checkpoint:
    """The checkpoint in a folder. No other file in it is opened, whatever its config says.

    Raises ModelRejected for another architecture, code that it wants to bring along, pickles, and damaged files.
    """
    if not (folder / CONFIG_NAME).is_file():
        raise ModelRejected(f"{folder} holds no {CONFIG_NAME}")
    config = read_json(folder / CONFIG_NAME)
    names = _labels(config)
    shape = read_shape(config, len(names))
    if not (folder / WEIGHTS_NAME).is_file():
        raise ModelRejected(
            f"{folder} holds no {WEIGHTS_NAME}: other formats, pickles above all, are never read; save it again with "
            "save_pretrained of a recent transformers"
        )
    network = _read_network(folder / WEIGHTS_NAME, shape, len(names))
    if (folder / EXTRACTOR_NAME).is_file():
        _take_our_windows(network, read_json(folder / EXTRACTOR_NAME))
    order = sorted(range(len(names)), key=lambda place: names[place])
    for parameter in (network.head.weight, network.head.bias):
        parameter.data = parameter.data[order]
    is_multi_label = config.get("problem_type") == "multi_label_classification"
    return Checkpoint(network, tuple(sorted(names)), is_multi_label)


def _labels(config: object) -> list[str]:
    """By number."""
    table = config.get("id2label") if isinstance(config, Mapping) else None
    if not isinstance(table, Mapping) or not 2 <= len(table) <= LABELS_MAX:
        raise ModelRejected(f"{CONFIG_NAME}: id2label must name 2 to {LABELS_MAX} labels")
    names = [table.get(str(number)) for number in range(len(table))]
    if not all(isinstance(name, str) and name.strip() and len(name) <= 200 for name in names):
        raise ModelRejected(f"{CONFIG_NAME}: id2label must give every number from 0 a name")
    if len(set(names)) < len(names):
        raise ModelRejected(f"{CONFIG_NAME}: two labels have the same name")
    return [str(name) for name in names]


def _read_network(path: Path, shape: AstShape, labels: int) -> Network:
    """With weights in float32, whatever the file's; its header is checked before anything is read after it."""
    from safetensors import SafetensorError, safe_open

    with torch.device("meta"):
        network = Network(shape, labels)
    expected = {name: list(tensor.shape) for name, tensor in network.state_dict().items()}
    tensors: dict[str, Tensor] = {}
    try:
        with safe_open(path, "pt") as file:
            found = {name: file.get_slice(name) for name in file.keys()}  # noqa: SIM118  no mapping
            for name in sorted({*found, *expected}):
                if name not in found or name not in expected or found[name].get_shape() != expected[name]:
                    raise ModelRejected(f"{path.name}: the tensor '{shorten(name)}' is not of {CONFIG_NAME}'s network")
                if found[name].get_dtype() not in DTYPES:
                    raise ModelRejected(f"{path.name}: the tensor '{name}' must be one of {', '.join(DTYPES)}")
            for name in expected:
                tensors[name] = file.get_tensor(name).float()
                if not tensors[name].isfinite().all():
                    raise ModelRejected(f"{path.name}: the tensor '{name}' holds something that is not a finite number")
    except (OSError, SafetensorError, ValueError) as error:
        raise ModelRejected(f"{path.name} cannot be read as safetensors") from error
    network.load_state_dict(tensors, assign=True)
    return network


def _take_our_windows(network: Network, extractor: Any) -> None:
    """Put the difference between the checkpoint's scaling of windows and ours into the weights of the patches.

    Ours are x = (f − m) / 2s of the filterbank f, with AudioSet's m and s; the checkpoint takes a x + b.
    """
    shape = network.shape
    taken = {"sampling_rate": SAMPLE_RATE, "num_mel_bins": shape.num_mel_bins, "max_length": shape.max_length}
    if not isinstance(extractor, Mapping):
        raise ModelRejected(f"{EXTRACTOR_NAME} must be an object")
    for name, value in taken.items():
        if extractor.get(name, value) != value:
            raise ModelRejected(f"{EXTRACTOR_NAME}: {name} is {shorten(str(extractor[name]))}, it must be {value}")
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


def _download(name: str, folder: Path) -> str:
    """Fetch the files of a name on the hub, each at most as large as it may be. Returns where they came from."""
    try:
        from huggingface_hub import errors, get_hf_file_metadata, hf_hub_download, hf_hub_url
    except ModuleNotFoundError as error:
        raise ConfigurationError("a name on the hub needs transformers: pip install '.[transformer]'") from error
    # Of the bases one is that of all errors of the library that the hub's client fetches with.
    failures = cast("tuple[type[Exception], ...]", (ValueError, *errors.HfHubHTTPError.__bases__))
    endpoint = os.environ.get("HF_ENDPOINT", _HUB)
    commit = None
    for file in (CONFIG_NAME, EXTRACTOR_NAME, WEIGHTS_NAME):
        try:
            about = get_hf_file_metadata(hf_hub_url(name, file, revision=commit, endpoint=endpoint))
            commit = commit or about.commit_hash  # all files of one version, though another is put there meanwhile
            if about.size is None or about.size > _BYTES_MAX[file]:
                raise ModelRejected(f"{file} of {name} is too large: {about.size} bytes")
            hf_hub_download(name, file, revision=commit, local_dir=folder, endpoint=endpoint)
        except errors.EntryNotFoundError:
            continue  # what must be there is asked for when it is read
        except failures as error:
            reason = shorten(str(error).partition("\n")[0])
            raise ConfigurationError(f"{name} cannot be had from {endpoint}: {reason}") from error
    return f"{name} at {commit} on {endpoint}"
