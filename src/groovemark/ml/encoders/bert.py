"""BERT in plain torch, the network behind small sentence encoders. Tensors are named as in transformers' BertModel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from groovemark.errors import ModelRejected

ARCHITECTURES = (["BertModel"],)
_FIXED = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
_LIMITS = {
    "vocab_size": 250_000,
    "hidden_size": 1024,
    "num_hidden_layers": 24,
    "num_attention_heads": 16,
    "intermediate_size": 4096,
    "max_position_embeddings": 1024,
    "type_vocab_size": 2,
}
_FOREIGN_CODE = ("auto_map", "trust_remote_code")
_EPSILON_MAX = 1e-3


@dataclass(frozen=True, slots=True)
class BertShape:
    """Sizes of the network, in the words of its config.json."""

    vocab_size: int
    hidden_size: int
    num_hidden_layers: int
    num_attention_heads: int
    intermediate_size: int
    max_position_embeddings: int
    type_vocab_size: int
    layer_norm_eps: float = 1e-12


def read_shape(config: object) -> BertShape:
    """The shape that a config.json tells of.

    Raises ModelRejected for another architecture, for a config that wants code of its own, and for sizes that are
    none, or larger than those of any encoder this is meant for.
    """
    if not isinstance(config, dict):
        raise ModelRejected("the configuration of an encoder must be a JSON object")
    _check_kind(config)
    sizes = {}
    for name, most in _LIMITS.items():
        size = config.get(name)
        if type(size) is not int or not 1 <= size <= most:
            raise ModelRejected(f"the encoder's {name} must be a whole number from 1 to {most}")
        sizes[name] = size
    if sizes["hidden_size"] % sizes["num_attention_heads"]:
        raise ModelRejected("the encoder's hidden_size must be a multiple of its num_attention_heads")
    epsilon = config.get("layer_norm_eps", 1e-12)
    if not isinstance(epsilon, float) or not 0 < epsilon <= _EPSILON_MAX:
        raise ModelRejected(f"the encoder's layer_norm_eps must be above 0 and at most {_EPSILON_MAX}")
    return BertShape(**sizes, layer_norm_eps=epsilon)


def _check_kind(config: Mapping[str, Any]) -> None:
    if wanted := [name for name in _FOREIGN_CODE if config.get(name)]:
        raise ModelRejected(f"the encoder's configuration has {wanted[0]}: code that comes with a model is never run")
    if config.get("architectures") not in ARCHITECTURES:
        raise ModelRejected("the encoder must be a BertModel; no other architecture is allowed")
    for name, value in _FIXED.items():
        if config.get(name, value if name == "position_embedding_type" else None) != value:
            raise ModelRejected(f"the encoder's {name} must be {value}")


class _Embeddings(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.word_embeddings = nn.Embedding(shape.vocab_size, shape.hidden_size)
        self.position_embeddings = nn.Embedding(shape.max_position_embeddings, shape.hidden_size)
        self.token_type_embeddings = nn.Embedding(shape.type_vocab_size, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, shape.layer_norm_eps)

    def forward(self, tokens: Tensor) -> Tensor:
        """(n, t) -> (n, t, h)."""
        places = torch.arange(tokens.shape[1], device=tokens.device)
        words = self.word_embeddings(tokens) + self.token_type_embeddings(torch.zeros_like(tokens))
        return self.LayerNorm(words + self.position_embeddings(places))  # type: ignore[no-any-return]


class _SelfAttention(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.heads = shape.num_attention_heads
        self.query = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.key = nn.Linear(shape.hidden_size, shape.hidden_size)
        self.value = nn.Linear(shape.hidden_size, shape.hidden_size)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        """(n, t, h) -> (n, t, h); the mask (n, 1, 1, t) is 0 at tokens and -inf at padding."""
        query, key, value = (self._split(layer(hidden)) for layer in (self.query, self.key, self.value))
        scores = query @ key.transpose(2, 3) / math.sqrt(query.shape[3])  # (n, heads, t, t)
        if mask is not None:
            scores = scores + mask
        return (scores.softmax(3) @ value).transpose(1, 2).flatten(2)

    def _split(self, projected: Tensor) -> Tensor:
        """(n, t, h) -> (n, heads, t, h / heads)."""
        rows, tokens, width = projected.shape
        return projected.view(rows, tokens, self.heads, width // self.heads).transpose(1, 2)


class _Residual(nn.Module):
    """What a block gives is added to what it was given, and normalised."""

    def __init__(self, inputs: int, shape: BertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(inputs, shape.hidden_size)
        self.LayerNorm = nn.LayerNorm(shape.hidden_size, shape.layer_norm_eps)

    def forward(self, found: Tensor, before: Tensor) -> Tensor:
        return self.LayerNorm(self.dense(found) + before)  # type: ignore[no-any-return]


class _Attention(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.self = _SelfAttention(shape)
        self.output = _Residual(shape.hidden_size, shape)

    def forward(self, hidden: Tensor, mask: Tensor | None) -> Tensor:
        return self.output(self.self(hidden, mask), hidden)  # type: ignore[no-any-return]


class _Intermediate(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.dense = nn.Linear(shape.hidden_size, shape.intermediate_size)

    def forward(self, hidden: Tensor) -> Tensor:
        return functional.gelu(self.dense(hidden))


class Layer(nn.Module):
    """One transformer layer (Devlin et al. 2019, arXiv 1810.04805)."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.attention = _Attention(shape)
        self.intermediate = _Intermediate(shape)
        self.output = _Residual(shape.intermediate_size, shape)

    def forward(self, hidden: Tensor, mask: Tensor | None = None) -> Tensor:
        """(n, t, h) -> (n, t, h)."""
        attended = self.attention(hidden, mask)
        return self.output(self.intermediate(attended), attended)  # type: ignore[no-any-return]


class _Encoder(nn.Module):
    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.layer = nn.ModuleList(Layer(shape) for _ in range(shape.num_hidden_layers))


class Bert(nn.Module):
    """The encoder without the layer that BERT was pretrained with on top."""

    def __init__(self, shape: BertShape) -> None:
        super().__init__()
        self.embeddings = _Embeddings(shape)
        self.encoder = _Encoder(shape)

    def forward(self, tokens: Tensor, layers: int | None = None) -> Tensor:
        """(n, t) token numbers, none of them padding -> (n, t, h) after so many layers, all of them by default."""
        hidden = self.embeddings(tokens)
        for layer in self.encoder.layer[:layers]:
            hidden = layer(hidden)
        return hidden  # type: ignore[no-any-return]


def build(shape: BertShape, tensors: Mapping[str, Any]) -> Bert:
    """The network with these float32 arrays, ready to answer; what they hold besides (the layer on top) is left out.

    Raises ModelRejected where one is missing, is not float32 or has another shape.
    """
    with torch.device("meta"):
        network = Bert(shape)
    state = {}
    for name, expected in network.state_dict().items():
        array = tensors.get(name)
        if array is None or array.dtype != "float32" or array.shape != tuple(expected.shape):
            raise ModelRejected(f"the encoder's tensor '{name}' is not float32 of the shape {tuple(expected.shape)}")
        state[name] = torch.from_numpy(array)
    network.load_state_dict(state, assign=True)
    return network.eval().requires_grad_(False)
