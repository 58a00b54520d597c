"""What an Audio Spectrogram Transformer is, apart from its weights; read from a config.json that is not believed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from groovemark.errors import ModelRejected, shorten
from groovemark.ml.models.checkpoint import PARAMETERS_MAX, require_architecture, without_code

ARCHITECTURE = "ASTForAudioClassification"
MODEL_TYPE = "audio-spectrogram-transformer"
_LIMITS = {
    "hidden_size": 4096,
    "num_hidden_layers": 64,
    "num_attention_heads": 64,
    "intermediate_size": 16_384,
    "patch_size": 128,
    "frequency_stride": 128,
    "time_stride": 1024,
    "max_length": 8192,
    "num_mel_bins": 512,
}
_EPSILONS = (0.0, 1e-3)


@dataclass(frozen=True, slots=True)
class AstShape:
    """Sizes of the network, by the names that Hugging Face's ASTConfig gives them."""

    hidden_size: int = 768
    num_hidden_layers: int = 12
    num_attention_heads: int = 12
    intermediate_size: int = 3072
    patch_size: int = 16
    frequency_stride: int = 10
    time_stride: int = 10
    max_length: int = 1024
    num_mel_bins: int = 128
    layer_norm_eps: float = 1e-12
    qkv_bias: bool = True

    @property
    def patches(self) -> tuple[int, int]:
        """How many patches there are along the bands, and along the frames."""
        return (
            (self.num_mel_bins - self.patch_size) // self.frequency_stride + 1,
            (self.max_length - self.patch_size) // self.time_stride + 1,
        )

    def count_parameters(self, labels: int) -> int:
        """Of the network with that many labels, biases aside."""
        across, along = self.patches
        block = 4 * self.hidden_size**2 + 2 * self.hidden_size * self.intermediate_size
        tokens = across * along + 2
        outside = self.patch_size**2 + tokens + labels
        return self.num_hidden_layers * block + self.hidden_size * outside

    def as_config(self) -> dict[str, Any]:
        """As config.json holds it."""
        return {"architectures": [ARCHITECTURE], "model_type": MODEL_TYPE, **asdict(self), "hidden_act": "gelu"}


def read_shape(config: object, labels: int) -> AstShape:
    """The shape in a config.json.

    Every entry is a number between limits; nothing in a config names code that would be run.

    Raises ModelRejected for code that it wants to bring along, another architecture, and sizes that cannot be.
    """
    config = without_code(config)
    require_architecture(config, ARCHITECTURE, MODEL_TYPE)
    if config.get("hidden_act", "gelu") != "gelu":
        raise ModelRejected("config.json: hidden_act must be 'gelu'")
    shape = AstShape(**{entry.name: _entry(config, entry.name, entry.default) for entry in fields(AstShape)})
    if shape.hidden_size % shape.num_attention_heads:
        raise ModelRejected("config.json: num_attention_heads must divide hidden_size")
    if shape.patch_size > min(shape.num_mel_bins, shape.max_length):
        raise ModelRejected("config.json: patch_size is larger than a window")
    if shape.count_parameters(labels) > PARAMETERS_MAX:
        raise ModelRejected(f"config.json describes a network of more than {PARAMETERS_MAX:,} parameters")
    return shape


def _entry(config: Mapping[str, Any], name: str, default: Any) -> Any:
    value = config.get(name, default)
    if name == "qkv_bias":
        if isinstance(value, bool):
            return value
    elif name == "layer_norm_eps":
        if isinstance(value, float) and _EPSILONS[0] < value <= _EPSILONS[1]:
            return value
    elif type(value) is int and 1 <= value <= _LIMITS[name]:
        return value
    raise ModelRejected(f"config.json: {name} cannot be {shorten(str(value))}")
