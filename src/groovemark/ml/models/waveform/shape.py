"""What a network on waveforms is, apart from its weights; read from a config.json that is not believed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.features.sets import WAVEFORM_10S
from groovemark.ml.models.checkpoint import CONFIG_NAME, require_architecture, without_code
from groovemark.ml.models.waveform.architectures import ARCHITECTURES, Architecture

_SIZES = {
    "hidden_size": (768, 4096),
    "num_hidden_layers": (12, 64),
    "num_attention_heads": (12, 64),
    "intermediate_size": (3072, 16_384),
    "num_conv_pos_embeddings": (128, 1024),
    "num_conv_pos_embedding_groups": (16, 4096),
    "classifier_proj_size": (256, 4096),
}
"""(usual, largest) of each."""
_CONVOLUTIONS = {
    "conv_dim": ([512] * 7, 4096),
    "conv_stride": ([5, 2, 2, 2, 2, 2, 2], 1024),
    "conv_kernel": ([10, 3, 3, 3, 3, 2, 2], 1024),
}
"""The same of each layer."""
_CONVOLUTIONS_MAX = 16
_SWITCHES = {"conv_bias": False, "do_stable_layer_norm": False, "use_weighted_layer_sum": False}
_FIXED = {
    "hidden_act": "gelu",
    "feat_extract_activation": "gelu",
    "add_adapter": False,
    "adapter_attn_dim": None,
    "conv_pos_batch_norm": False,
}
NOT_TAUGHT = {"mask_time_prob": 0.0, "mask_feature_prob": 0.0, "layerdrop": 0.0}
"""Nothing is masked, which takes a tensor of its own, and no block is left out, of which a weighted sum over all blocks
knows nothing: both are for those who teach such networks from scratch."""
_NORMS = ("group", "layer")
_EPSILONS = (0.0, 1e-3)
FRAMES_MAX = 1000
"""Twice the usual: attention holds a number for each pair of frames of a window and each head."""
NUMBERS_MAX = 1 << 25
"""Of one layer of convolutions for one window: twice the usual."""


@dataclass(frozen=True, slots=True)
class WaveformShape:
    """Of one network.

    Attributes:
        entries: of config.json, under the library's names and within bounds: all that answers depend on.
    """

    architecture: Architecture
    entries: Mapping[str, Any]

    def as_config(self) -> dict[str, Any]:
        """As config.json holds it."""
        return {
            "architectures": [self.architecture.name],
            "model_type": self.architecture.model_type,
            **self.entries,
            **_FIXED,
            **NOT_TAUGHT,
        }


def read_shape(config: object) -> WaveformShape:
    """The shape in a config.json.

    Every entry that is taken is checked; of the others none has a part in an answer.

    Raises ModelRejected for code that it wants to bring along, another architecture, and sizes that cannot be.
    """
    config = without_code(config)
    model_type = config.get("model_type")
    architecture = ARCHITECTURES.get(model_type) if isinstance(model_type, str) else None
    if architecture is None:
        raise ModelRejected(f"{CONFIG_NAME} is of the type {shorten(str(model_type))}, not {', '.join(ARCHITECTURES)}")
    require_architecture(config, architecture.name, architecture.model_type)
    for name, fixed in _FIXED.items():
        if config.get(name, fixed) != fixed:
            raise _impossible(name, config[name])
    entries = {
        **{name: _size(config, name, *of) for name, of in {**_SIZES, **architecture.sizes}.items()},
        **{name: _sizes(config, name, *of) for name, of in _CONVOLUTIONS.items()},
        **{name: _switch(config, name, usual) for name, usual in {**_SWITCHES, **architecture.switches}.items()},
        "feat_extract_norm": config.get("feat_extract_norm", _NORMS[0]),
        "layer_norm_eps": config.get("layer_norm_eps", 1e-5),
    }
    if entries["feat_extract_norm"] not in _NORMS:
        raise _impossible("feat_extract_norm", entries["feat_extract_norm"])
    epsilon = entries["layer_norm_eps"]
    if not isinstance(epsilon, float) or not _EPSILONS[0] < epsilon <= _EPSILONS[1]:
        raise _impossible("layer_norm_eps", epsilon)
    _require_possible(entries)
    return WaveformShape(architecture, entries)


def _require_possible(entries: Mapping[str, Any]) -> None:
    """What several entries say together."""
    for name in ("num_attention_heads", "num_conv_pos_embedding_groups"):
        if entries["hidden_size"] % entries[name]:
            raise ModelRejected(f"{CONFIG_NAME}: {name} must divide hidden_size")
    if len({len(entries[name]) for name in _CONVOLUTIONS}) > 1:
        raise ModelRejected(f"{CONFIG_NAME}: {', '.join(_CONVOLUTIONS)} must have one entry a layer")
    # Below, the logarithm that spreads distances over buckets would be of 1, or of less.
    if "num_buckets" in entries and not 1 <= entries["num_buckets"] // 4 < entries["max_bucket_distance"]:
        raise ModelRejected(f"{CONFIG_NAME}: num_buckets must be from 4 to 4 times max_bucket_distance")
    (frames,) = WAVEFORM_10S.shape
    for width, stride, kernel in zip(*(entries[name] for name in _CONVOLUTIONS), strict=True):
        frames = (frames - kernel) // stride + 1
        if frames * width > NUMBERS_MAX:
            raise ModelRejected(
                f"{CONFIG_NAME}: a layer of convolutions makes more than {NUMBERS_MAX:,} numbers of 10 s"
            )
    if not 1 <= frames <= FRAMES_MAX:
        raise ModelRejected(f"{CONFIG_NAME}: 10 s become {max(0, frames)} frames; 1 to {FRAMES_MAX} can be")


def _size(config: Mapping[str, Any], name: str, usual: int, largest: int) -> int:
    value = config.get(name, usual)
    if type(value) is int and 1 <= value <= largest:
        return value
    raise _impossible(name, value)


def _sizes(config: Mapping[str, Any], name: str, usual: Sequence[int], largest: int) -> list[int]:
    value = config.get(name, usual)
    if not isinstance(value, list) or not 1 <= len(value) <= _CONVOLUTIONS_MAX:
        raise _impossible(name, value)
    if not all(type(one) is int and 1 <= one <= largest for one in value):
        raise _impossible(name, value)
    return list(value)


def _switch(config: Mapping[str, Any], name: str, usual: bool) -> bool:
    value = config.get(name, usual)
    if isinstance(value, bool):
        return value
    raise _impossible(name, value)


def _impossible(name: str, value: object) -> ModelRejected:
    return ModelRejected(f"{CONFIG_NAME}: {name} cannot be {shorten(str(value))}")
