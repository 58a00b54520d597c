"""Reading the files of convolutional networks; nothing in them is executed, and nothing is believed unchecked."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from groovemark.errors import ModelRejected
from groovemark.ml.features.device import resolve
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.cnn.classifier import CnnClassifier, Member
from groovemark.ml.models.cnn.network import Network
from groovemark.ml.models.files import read_json, read_temperature, safe_name
from groovemark.ml.models.tensors import read_tensors

CNN_NAME = "cnn.json"
COUNTER = "num_batches_tracked"
"""Of batch norm; only training asks for it."""
MEMBERS_MAX = 64
BLOCKS_MAX = 8
CHANNELS_MAX = 512
POOL_MAX = 32
TENSOR_AXES = 2


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> CnnClassifier:  # noqa: ARG001  one thread: see whole_float32
    """The classifier whose files `save` wrote into `folder`, on a graphics card where there is one.

    Raises ModelRejected naming the file that cannot be used.
    """
    if len(spec.features.shape) != TENSOR_AXES:
        raise ModelRejected(f"convolutional networks take tensors of frames and bands; {spec.features.name} is none")
    content = read_json(folder / CNN_NAME)
    if not isinstance(content, dict):
        raise ModelRejected(f"{CNN_NAME} must be an object")
    channels = _integers(content.get("channels"), "channels", range(1, BLOCKS_MAX + 1), CHANNELS_MAX)
    frames, bands = _integers(content.get("pool"), "pool", range(2, 3), POOL_MAX)
    if frames > spec.features.shape[0] or bands > spec.features.shape[1]:
        raise ModelRejected(f"{CNN_NAME}: pool leaves nothing of a window of {spec.features.shape}")

    across = content.get("across")
    if not isinstance(across, bool):
        raise ModelRejected(f"{CNN_NAME}: across must be true or false")

    def read_network(name: object) -> Network:
        network = Network(
            spec.features.shape[1], len(spec.labels), channels=channels, pool=(frames, bands), across=across
        )
        return _fill(network, folder / safe_name(name, CNN_NAME))

    members = []
    for entry in _list(content.get("members"), "members"):
        temperature = read_temperature(entry, CNN_NAME)
        networks = [read_network(name) for name in _list(entry.get("networks"), "networks")]
        members.append(Member(networks, temperature))
    return CnnClassifier(spec, members, device=resolve("auto"))


def _fill(network: Network, path: Path) -> Network:
    state = network.state_dict()
    shapes = {name: tuple(tensor.shape) for name, tensor in state.items() if not name.endswith(COUNTER)}
    tensors = read_tensors(path, shapes)
    for name, tensor in tensors.items():
        if (name == "deviation" and tensor.min() <= 0) or (name.endswith("running_var") and tensor.min() < 0):
            raise ModelRejected(f"{path.name}: '{name}' must be positive")
    network.load_state_dict({**state, **{name: torch.from_numpy(tensor) for name, tensor in tensors.items()}})
    return network


def _list(value: object, name: str) -> list[Any]:
    if not isinstance(value, list) or not 1 <= len(value) <= MEMBERS_MAX:
        raise ModelRejected(f"{CNN_NAME}: {name} must be a list of 1 to {MEMBERS_MAX}")
    return value


def _integers(value: object, name: str, lengths: range, highest: int) -> tuple[int, ...]:
    entries = value if isinstance(value, list) else []
    if len(entries) not in lengths or not all(type(entry) is int and 1 <= entry <= highest for entry in entries):
        raise ModelRejected(f"{CNN_NAME}: {name} must be {lengths[0]} to {lengths[-1]} whole numbers up to {highest}")
    return tuple(entries)
