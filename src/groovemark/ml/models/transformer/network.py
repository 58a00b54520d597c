"""The network, under the names that Hugging Face's checkpoints give its weights.

It is written here rather than taken from transformers: a worker starts without that library, its weights keep their
names whatever version is installed, and a config can ask for nothing but sizes. A test holds it to the original.

Source: Gong et al. 2021, AST: Audio Spectrogram Transformer, arXiv 2104.01778.
"""

from __future__ import annotations

from typing import cast

import torch
from torch import Tensor, nn
from torch.nn import functional

from groovemark.ml.models.transformer.shape import AstShape

FIRST_WEIGHTS = 0.02
"""Standard deviation of weights before training, as in ASTConfig."""


class Network(nn.Module):
    """From windows of the filterbank to raw scores.

    Args:
        dropout: share left out of the embeddings and of what every half block adds.
    """

    def __init__(self, shape: AstShape, labels: int, *, dropout: float = 0.0) -> None:
        super().__init__()
        self.shape = shape
        self.labels = labels
        self.audio_spectrogram_transformer = _Encoder(shape, dropout)
        self.classifier = nn.ModuleDict(
            {
                "layernorm": nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps),
                "dense": nn.Linear(shape.hidden_size, labels),
            }
        )

    def forward(self, windows: Tensor) -> Tensor:
        """(n, frame, band) → (n, label) raw scores."""
        pooled = self.audio_spectrogram_transformer(windows)
        return cast("Tensor", self.head(self.classifier["layernorm"](pooled)))

    @property
    def patches(self) -> nn.Conv2d:
        """The first layer."""
        embeddings = self.audio_spectrogram_transformer.embeddings
        return cast("nn.Conv2d", embeddings.patch_embeddings["projection"])

    @property
    def head(self) -> nn.Linear:
        """The last layer."""
        return cast("nn.Linear", self.classifier["dense"])

    def draw_weights(self) -> None:
        """First weights, from torch's random numbers."""
        for module in self.modules():
            if isinstance(module, nn.Linear | nn.Conv2d):
                nn.init.trunc_normal_(module.weight, std=FIRST_WEIGHTS)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        embeddings = self.audio_spectrogram_transformer.embeddings
        for parameter in (embeddings.cls_token, embeddings.distillation_token, embeddings.position_embeddings):
            nn.init.trunc_normal_(parameter, std=FIRST_WEIGHTS)

    def take(self, scale: float, shift: float) -> None:
        """Answer to windows x as before to scale · x + shift; exact, as no patch reaches beyond a window."""
        weight, bias = self.patches.weight, self.patches.bias
        if bias is not None:
            bias.data += shift * weight.data.sum(dim=(1, 2, 3))
        weight.data *= scale

    def freeze(self, blocks: int) -> None:
        """Keep the embeddings and so many of the first blocks as they are; 0 keeps nothing."""
        encoder = self.audio_spectrogram_transformer
        for module in [encoder.embeddings, *encoder.blocks[:blocks]] if blocks else []:
            module.requires_grad_(False)


class _Encoder(nn.Module):
    def __init__(self, shape: AstShape, dropout: float) -> None:
        super().__init__()
        self.embeddings = _Embeddings(shape, dropout)
        blocks = nn.ModuleList(_Block(shape, dropout) for _ in range(shape.num_hidden_layers))
        self.encoder = nn.ModuleDict({"layer": blocks})
        self.layernorm = nn.LayerNorm(shape.hidden_size, eps=shape.layer_norm_eps)

    @property
    def blocks(self) -> nn.ModuleList:
        return cast("nn.ModuleList", self.encoder["layer"])

    def forward(self, windows: Tensor) -> Tensor:
        """(n, frame, band) → (n, hidden): the mean of the two tokens that stand before the patches."""
        states = self.embeddings(windows)  # (n, token, hidden)
        *blocks, last = self.blocks
        for block in blocks:
            states = block(states)
        return cast("Tensor", self.layernorm(last(states, answered=2)).mean(dim=1))


class _Embeddings(nn.Module):
    def __init__(self, shape: AstShape, dropout: float) -> None:
        super().__init__()
        across, along = shape.patches
        self.cls_token = nn.Parameter(torch.zeros(1, 1, shape.hidden_size))
        self.distillation_token = nn.Parameter(torch.zeros(1, 1, shape.hidden_size))
        self.position_embeddings = nn.Parameter(torch.zeros(1, across * along + 2, shape.hidden_size))
        strides = (shape.frequency_stride, shape.time_stride)
        projection = nn.Conv2d(1, shape.hidden_size, shape.patch_size, stride=strides)
        self.patch_embeddings = nn.ModuleDict({"projection": projection})
        self.dropout = nn.Dropout(dropout)

    def forward(self, windows: Tensor) -> Tensor:
        maps = windows[:, None].transpose(2, 3)  # (n, 1, band, frame)
        patches = self.patch_embeddings["projection"](maps).flatten(2).transpose(1, 2)  # (n, patch, hidden)
        tokens = [token.expand(len(windows), -1, -1) for token in (self.cls_token, self.distillation_token)]
        return cast("Tensor", self.dropout(torch.cat([*tokens, patches], dim=1) + self.position_embeddings))


class _Block(nn.Module):
    def __init__(self, shape: AstShape, dropout: float) -> None:
        super().__init__()
        self.heads = shape.num_attention_heads
        width, inner = shape.hidden_size, shape.intermediate_size
        of_tokens = {name: nn.Linear(width, width, bias=shape.qkv_bias) for name in ("query", "key", "value")}
        self.attention = nn.ModuleDict(
            {
                "attention": nn.ModuleDict(of_tokens),
                "output": nn.ModuleDict({"dense": nn.Linear(width, width)}),
            }
        )
        self.intermediate = nn.ModuleDict({"dense": nn.Linear(width, inner)})
        self.output = nn.ModuleDict({"dense": nn.Linear(inner, width)})
        self.layernorm_before = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.layernorm_after = nn.LayerNorm(width, eps=shape.layer_norm_eps)
        self.dropout = nn.Dropout(dropout)

    def forward(self, states: Tensor, answered: int | None = None) -> Tensor:
        """(n, token, hidden) → (n, answered, hidden): the first of them, and all by default."""
        states = states[:, :answered] + self.dropout(self._attend(self.layernorm_before(states), answered))
        inner = functional.gelu(self.intermediate["dense"](self.layernorm_after(states)))
        return states + cast("Tensor", self.dropout(self.output["dense"](inner)))

    def _attend(self, states: Tensor, answered: int | None) -> Tensor:
        of_tokens = cast("nn.ModuleDict", self.attention["attention"])
        query, key, value = (
            of_tokens[name](heard).unflatten(2, (self.heads, -1)).transpose(1, 2)  # (n, head, token, part)
            for name, heard in (("query", states[:, :answered]), ("key", states), ("value", states))
        )
        mixed = functional.scaled_dot_product_attention(query, key, value)
        output = cast("nn.ModuleDict", self.attention["output"])
        return cast("Tensor", output["dense"](mixed.transpose(1, 2).flatten(2)))
