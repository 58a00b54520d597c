"""The network on the processor in fewer bits, compiled by OpenVINO."""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from groovemark.errors import ModelUnavailable
from groovemark.ml.features.arithmetic import has_bfloat16
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.transformer.network import Network

STEPS = 127
"""On each side of 0."""
_ENCODER = "audio_spectrogram_transformer."


def can_compile() -> bool:
    """Whether OpenVINO is installed."""
    return find_spec("openvino") is not None


def require_library() -> None:
    """Raises ModelUnavailable where OpenVINO is not installed."""
    if not can_compile():
        raise ModelUnavailable("the precision int8 needs openvino: pip install '.[openvino]'")


def compile_network(
    network: Network, precision: Precision, *, threads: int = 1
) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """The network as a function, (n, frame, band) → (n, label) raw scores.

    In `int8` products of weights are in whole numbers: each weight is one of 255 steps of its output's own, and what a
    token brings is cut into as many when it is there. So are a head's queries, each for itself, and its keys. All else
    is in bfloat16 where the processor has it, and in float32 where it has not. The graph is made here from the weights,
    so that no file of a format that could hold more is ever read.

    Raises ModelUnavailable where OpenVINO is not installed.
    """
    require_library()
    openvino = _library()
    settings = {
        "INFERENCE_PRECISION_HINT": "bf16" if has_bfloat16(torch.device("cpu")) else "f32",
        "INFERENCE_NUM_THREADS": threads,
        "NUM_STREAMS": 1,
        # Other workers share the cores.
        "ENABLE_CPU_PINNING": False,
        "DYNAMIC_QUANTIZATION_GROUP_SIZE": group_size(network, precision),
    }
    graph = _Graph(network, is_whole=precision == "int8").model()
    compiled = openvino.Core().compile_model(graph, "CPU", settings)

    def scores(windows: NDArray[np.float32]) -> NDArray[np.float32]:
        request = compiled.create_infer_request()  # which is one thread's alone
        # One by one: several at once leave the caches, and take longer each.
        return np.concatenate([request.infer([window[None]])[0] for window in windows])

    return scores


def group_size(network: Network, precision: Precision) -> int:
    """So many of a token's numbers are cut into steps together. Where there are more than a layer takes, that layer is
    not computed in whole numbers."""
    return network.shape.hidden_size if precision == "int8" else 0


def _library() -> Any:
    # With this module OpenVINO reports every import to its makers, and leaves a file in the home folder.
    sys.modules.setdefault("openvino_telemetry", None)  # type: ignore[arg-type]
    return import_module("openvino")


class _Graph:
    """The network's steps, as OpenVINO holds them; nodes are its own, whose types it does not tell.

    Args:
        is_whole: take products of weights, and of queries with keys, in whole numbers.
    """

    def __init__(self, network: Network, *, is_whole: bool) -> None:
        self._ops = import_module("openvino.opset15")
        self._shape = network.shape
        self._is_whole = is_whole
        self._state = {name: tensor.detach().cpu().float().numpy() for name, tensor in network.state_dict().items()}

    def model(self) -> Any:
        """(1, frame, band) → (1, label)."""
        windows = self._ops.parameter([1, self._shape.max_length, self._shape.num_mel_bins], np.float32)
        states = self._embedded(windows)
        last = self._shape.num_hidden_layers - 1
        for number in range(last):
            states = self._block(states, f"{_ENCODER}encoder.layer.{number}.")
        states = self._last_block(states, f"{_ENCODER}encoder.layer.{last}.")
        pooled = self._ops.reduce_mean(self._normed(states, f"{_ENCODER}layernorm"), np.array([1]))
        answer = self._normed(pooled, "classifier.layernorm")
        weights, bias = (self._constant(f"classifier.dense.{part}") for part in ("weight", "bias"))
        scores = self._ops.add(self._ops.matmul(answer, weights, False, True), bias)
        return _library().Model([scores], [windows], "ast")

    def _embedded(self, windows: Any) -> Any:
        """(1, token, hidden)"""
        ops, prefix = self._ops, f"{_ENCODER}embeddings."
        maps = ops.unsqueeze(ops.transpose(windows, np.array([0, 2, 1])), np.array([1]))
        filters = self._constant(f"{prefix}patch_embeddings.projection.weight")
        strides = [self._shape.frequency_stride, self._shape.time_stride]
        patches = ops.convolution(maps, filters, strides, [0, 0], [0, 0], [1, 1])
        patches = ops.reshape(patches, np.array([0, self._shape.hidden_size, -1]), True)
        bias = self._constant(f"{prefix}patch_embeddings.projection.bias")
        patches = ops.add(ops.transpose(patches, np.array([0, 2, 1])), bias)
        tokens = [self._constant(f"{prefix}{name}_token") for name in ("cls", "distillation")]
        return ops.add(ops.concat([*tokens, patches], 1), self._constant(f"{prefix}position_embeddings"))

    def _block(self, states: Any, prefix: str) -> Any:
        """(1, token, hidden) → the same shape."""
        ops = self._ops
        normed = self._normed(states, f"{prefix}layernorm_before")
        query, key, value = (
            self._parts(self._product(normed, f"{prefix}attention.attention.{name}"))
            for name in ("query", "key", "value")
        )
        if self._is_whole:
            query, of_query = self._in_steps(query, each=(3,))
            key, of_key = self._in_steps(key, each=(1, 3))
            products = ops.matmul(self._heads(query), self._heads(key), False, True)
            products = ops.multiply(products, self._heads(ops.multiply(of_query, of_key)))
        else:
            products = ops.matmul(self._heads(query), self._heads(key), False, True)
        return self._answered(states, ops.matmul(self._shares(products), self._heads(value), False, False), prefix)

    def _last_block(self, states: Any, prefix: str) -> Any:
        """(1, token, hidden) → (1, 2, hidden), as nothing after it reads the other tokens.

        Two tokens ask what others hold. So it is the questions that go through the weights of the keys, not all tokens,
        and the tokens' mean that goes through those of the values: the same by the rules of sums, for a thirtieth of
        the work. The keys' bias adds the same to all that a token asks, and leaves the shares as they are.
        """
        ops, name = self._ops, f"{prefix}attention.attention."
        heads, width = self._shape.num_attention_heads, self._shape.hidden_size
        size = width // heads
        two = [np.array([bound]) for bound in (0, 2, 1, 1)]
        normed = self._normed(states, f"{prefix}layernorm_before")
        of_all = ops.unsqueeze(normed, np.array([1]))  # (1, 1, token, hidden)
        query = self._heads(self._parts(self._product(ops.slice(normed, *two), f"{name}query")))  # (1, head, 2, part)
        keys, values = (self._state[f"{name}{of}.weight"].reshape(1, heads, size, width) for of in ("key", "value"))
        questions = ops.matmul(query, ops.constant(keys), False, False)  # (1, head, 2, hidden)
        shares = self._shares(ops.matmul(questions, of_all, False, True))
        means = ops.matmul(shares, of_all, False, False)  # (1, head, 2, hidden)
        mixed = ops.matmul(means, ops.constant(values), False, True)  # (1, head, 2, part)
        bias = self._state.get(f"{name}value.bias", np.zeros(width, np.float32)).reshape(1, heads, 1, size)
        return self._answered(ops.slice(states, *two), ops.add(mixed, ops.constant(bias)), prefix)

    def _answered(self, states: Any, mixed: Any, prefix: str) -> Any:
        """The rest of a block: (1, token, hidden) states, and what their heads have mixed, (1, head, token, part)."""
        ops = self._ops
        mixed = ops.transpose(mixed, np.array([0, 2, 1, 3]))
        mixed = ops.reshape(mixed, np.array([0, 0, self._shape.hidden_size]), True)
        states = ops.add(states, self._product(mixed, f"{prefix}attention.output.dense"))
        normed = self._normed(states, f"{prefix}layernorm_after")
        inner = ops.gelu(self._product(normed, f"{prefix}intermediate.dense"), "erf")
        return ops.add(states, self._product(inner, f"{prefix}output.dense"))

    def _parts(self, states: Any) -> Any:
        """(1, token, hidden) → (1, token, head, part)"""
        return self._ops.reshape(states, np.array([0, 0, self._shape.num_attention_heads, -1]), True)

    def _heads(self, parts: Any) -> Any:
        """(1, token, head, part) → (1, head, token, part)"""
        return self._ops.transpose(parts, np.array([0, 2, 1, 3]))

    def _in_steps(self, parts: Any, each: tuple[int, ...]) -> tuple[Any, Any]:
        """Parts cut into steps from -1 to 1, and what they are to be multiplied with: the largest over these axes."""
        ops = self._ops
        largest = ops.maximum(ops.reduce_max(ops.abs(parts), np.array(each), True), np.float32(1e-30))
        ends = np.float32(-1), np.float32(1)
        return ops.fake_quantize(ops.divide(parts, largest), *ends, *ends, 2 * STEPS + 1), largest

    def _shares(self, products: Any) -> Any:
        """How much of each token goes into the mixture."""
        size = self._shape.hidden_size // self._shape.num_attention_heads
        return self._ops.softmax(self._ops.multiply(products, np.float32(size**-0.5)), -1)

    def _normed(self, states: Any, name: str) -> Any:
        normed = self._ops.mvn(states, np.array([-1]), True, self._shape.layer_norm_eps, "inside_sqrt")
        scaled = self._ops.multiply(normed, self._constant(f"{name}.weight"))
        return self._ops.add(scaled, self._constant(f"{name}.bias"))

    def _product(self, states: Any, name: str) -> Any:
        """What the layer of that name makes of them."""
        weights = self._whole(f"{name}.weight") if self._is_whole else self._constant(f"{name}.weight")
        product = self._ops.matmul(states, weights, False, True)
        return self._ops.add(product, self._constant(f"{name}.bias")) if f"{name}.bias" in self._state else product

    def _whole(self, name: str) -> Any:
        """Weights (out, in) in steps of each output's own."""
        ops, weights = self._ops, self._state[name]
        steps = np.maximum(np.abs(weights).max(axis=1, keepdims=True), 1e-30) / STEPS
        whole = np.rint(weights / steps).astype(np.int8)
        return ops.multiply(ops.convert(ops.constant(whole), "f32"), ops.constant(steps.astype(np.float32)))

    def _constant(self, name: str) -> Any:
        return self._ops.constant(self._state[name])
