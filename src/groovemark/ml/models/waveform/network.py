"""The network itself: the library's own class, made of a shape that was checked, and of nothing else.

It is not written here anew, as the one on spectrograms is: three architectures, each in variants, are a thousand lines
that would have to agree with the library's to the last digit. From a shape and tensors alone the library reads no file
and asks no network.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from groovemark.errors import ModelRejected, ModelUnavailable
from groovemark.ml.models.checkpoint import CONFIG_NAME, PARAMETERS_MAX
from groovemark.ml.models.waveform.shape import NOT_TAUGHT, WaveformShape

_OLD_NAMES = {"weight_g": "parametrizations.weight.original0", "weight_v": "parametrizations.weight.original1"}
"""Length and direction of the positional convolution's weights, as torch named them before 2.0."""
_ONLY_TAUGHT = "masked_spec_embed"
"""Stands for what is masked in training; no answer depends on it."""


def make_network(shape: WaveformShape, labels: int) -> nn.Module:
    """Without weights, on torch's meta device: nothing is allocated before a file has shown what the config says.

    Raises:
        ModelRejected: it would be too large.
        ModelUnavailable: transformers is not installed.
    """
    try:
        import transformers
    except ModuleNotFoundError as error:
        raise ModelUnavailable(
            f"{shape.architecture.title} needs transformers: pip install '.[transformer]'"
        ) from error
    config = getattr(transformers, shape.architecture.config_name)(**shape.entries, **NOT_TAUGHT, num_labels=labels)
    with torch.device("meta"):
        network = cast("nn.Module", getattr(transformers, shape.architecture.name)(config))
    if count_parameters(network) > PARAMETERS_MAX:
        raise ModelRejected(f"{CONFIG_NAME} describes a network of more than {PARAMETERS_MAX:,} parameters")
    return network


def head(network: nn.Module) -> nn.Linear:
    """The last layer."""
    return cast("nn.Linear", network.classifier)


def count_parameters(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


def shapes(network: nn.Module) -> dict[str, tuple[int, ...]]:
    """Of the tensors that a file must hold, by name."""
    return {name: tuple(tensor.shape) for name, tensor in network.state_dict().items()}


def new_name(name: str) -> str | None:
    """Of a tensor of a checkpoint, whichever torch it was saved with; None where none is needed."""
    place, _, last = name.rpartition(".")
    if last == _ONLY_TAUGHT:
        return None
    return f"{place}.{_OLD_NAMES[last]}" if last in _OLD_NAMES else name


def fill(network: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Take these weights, every one that `shapes` names."""
    network.load_state_dict(dict(tensors), assign=True)


def freeze(network: nn.Module, blocks: int) -> None:
    """Keep as they are the convolutions and what projects their frames, and with so many of the first blocks all that
    is before them."""
    heard = cast("Any", network).base_model
    encoder = heard.encoder
    first = [encoder.pos_conv_embed, *encoder.layers[:blocks]] if blocks else []
    if first and not cast("Any", network).config.do_stable_layer_norm:  # with which the norm is after the last block
        first.append(encoder.layer_norm)
    for module in (heard.feature_extractor, heard.feature_projection, *first):
        module.requires_grad_(False)
    cast("Any", network).freeze_feature_encoder()  # which would ask for gradients of what it makes


def fold(network: nn.Module) -> None:
    """Multiply length and direction once, and not for every window: the same numbers, and in bf16 better ones."""
    for module in network.modules():
        if parametrize.is_parametrized(module, "weight"):
            parametrize.remove_parametrizations(module, "weight")
