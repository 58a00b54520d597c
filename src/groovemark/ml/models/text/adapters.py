"""Changing a frozen encoder's last layers by little: adapters of low rank, and what they make of the layers.

Source: Hu et al. 2021, LoRA, arXiv 2106.09685.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from groovemark.errors import ModelRejected
from groovemark.ml.encoders.bert import Bert, Layer

ADAPTED = ("attention.self.query", "attention.self.value", "intermediate.dense", "output.dense")
"""The linear maps of a layer that get an adapter."""


class Adapter(nn.Module):
    """A linear map that stays as it is, and beside it the product of a low and a wide matrix, at first 0."""

    def __init__(self, linear: nn.Linear, rank: int) -> None:
        super().__init__()
        self.linear = linear
        self.down = nn.Parameter(torch.randn(rank, linear.in_features) / linear.in_features**0.5)
        self.up = nn.Parameter(torch.zeros(linear.out_features, rank))

    def forward(self, inputs: Tensor) -> Tensor:
        return self.linear(inputs) + inputs @ self.down.T @ self.up.T  # type: ignore[no-any-return]


def adapted(network: Bert, layers: int, rank: int) -> list[Layer]:
    """Copies of the last layers, with adapters that are to be taught."""
    copies = _copies(network, layers)
    for layer in copies:
        for name in ADAPTED:
            parent, _, own = name.rpartition(".")
            setattr(layer.get_submodule(parent), own, Adapter(_linear(layer, name), rank))
    return copies


def changes(layers: Sequence[Layer]) -> dict[str, Tensor]:
    """What was taught: the two matrices of every adapter, by `layer.name.matrix`."""
    return {
        f"{number}.{name}.{matrix}": layer.get_submodule(name).get_parameter(matrix).detach().clone()
        for number, layer in enumerate(layers)
        for name in ADAPTED
        for matrix in ("down", "up")
    }


def merged(network: Bert, layers: int, rank: int, taught: Mapping[str, Any]) -> list[Layer]:
    """Copies of the last layers into which what was taught is added: as fast as those that were there.

    Raises ModelRejected where it does not fit the network.
    """
    copies = _copies(network, layers)
    if len(copies) != layers or len(taught) != layers * len(ADAPTED) * 2:
        raise ModelRejected(f"the adapters of the encoder must be of {layers} of its layers")
    for number, layer in enumerate(copies):
        for name in ADAPTED:
            linear = _linear(layer, name)
            down, up = (taught.get(f"{number}.{name}.{matrix}", np.empty(0)) for matrix in ("down", "up"))
            if (down.shape, up.shape) != ((rank, linear.in_features), (linear.out_features, rank)):
                raise ModelRejected(f"the adapter of {name} in the tuned layer {number} does not fit the encoder")
            change = torch.from_numpy(up) @ torch.from_numpy(down)
            linear.weight = nn.Parameter(linear.weight + change, requires_grad=False)
    return copies


def _copies(network: Bert, layers: int) -> list[Layer]:
    last = list(network.encoder.layer)[-layers:]
    return [copy.deepcopy(layer) for layer in last if isinstance(layer, Layer)]


def _linear(layer: nn.Module, name: str) -> nn.Linear:
    linear = layer.get_submodule(name)
    if not isinstance(linear, nn.Linear):
        raise TypeError(name)
    return linear
