"""The network in onnxruntime, its products of weights taken in whole numbers of eight bits."""

from __future__ import annotations

from collections.abc import Callable
from importlib.util import find_spec
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelUnavailable
from groovemark.ml.models.transformer.network import Network

OPSET = 20
IR_VERSION = 10
STEPS = 127
"""On each side of 0."""
_MICROSOFT = "com.microsoft"


def quantise(network: Network, *, threads: int = 1) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Dynamic quantisation: (n, frame, band) → (n, label).

    Each weight is one of 255 steps of its output's own, and what it is multiplied with is cut into 256 steps from the
    least to the largest number of the moment. Patches, norms, attention and the answer stay in float32. The graph is
    made here from the weights, so that no file of a format that could hold more is ever read.

    Raises ModelUnavailable where onnx or onnxruntime is not installed.
    """
    for library in ("onnx", "onnxruntime"):
        if find_spec(library) is None:
            raise ModelUnavailable(f"the precision int8 needs {library}: pip install '.[onnx]'")
    import onnxruntime  # type: ignore[import-untyped]

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
    session = onnxruntime.InferenceSession(_Graph(network).content(), options, providers=["CPUExecutionProvider"])
    return lambda windows: session.run(["scores"], {"windows": np.ascontiguousarray(windows)})[0]


class _Graph:
    """The network's steps, one after the other, as onnx holds them."""

    def __init__(self, network: Network) -> None:
        self._shape, self._labels = network.shape, network.labels
        self._state = {name: tensor.detach().cpu().float().numpy() for name, tensor in network.state_dict().items()}
        self._nodes: list[Any] = []
        self._constants: list[Any] = []

    def content(self) -> bytes:
        """The model, as onnxruntime reads it."""
        from onnx import TensorProto, helper

        prefix = "audio_spectrogram_transformer."
        states = self._embedded(prefix + "embeddings.")
        for number in range(self._shape.num_hidden_layers):
            states = self._block(states, f"{prefix}encoder.layer.{number}.")
        first = self._step("Slice", states, *(self._constant(np.array([bound])) for bound in (0, 2, 1)))
        normed = self._normed(first, prefix + "layernorm")
        pooled = self._step("ReduceMean", normed, self._constant(np.array([1])), keepdims=0)
        answer = self._normed(pooled, "classifier.layernorm")
        weight, bias = (self._constant(self._state[f"classifier.dense.{name}"]) for name in ("weight", "bias"))
        self._nodes.append(helper.make_node("Gemm", [answer, weight, bias], ["scores"], transB=1))
        float32 = TensorProto.FLOAT
        size: list[str | int | None] = ["n", self._shape.max_length, self._shape.num_mel_bins]
        graph = helper.make_graph(
            self._nodes,
            "ast",
            [helper.make_tensor_value_info("windows", float32, size)],
            [helper.make_tensor_value_info("scores", float32, ["n", self._labels])],
            self._constants,
        )
        opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_MICROSOFT, 1)]
        model = helper.make_model(graph, opset_imports=opsets, ir_version=IR_VERSION)
        return bytes(model.SerializeToString())

    def _embedded(self, prefix: str) -> str:
        state, width = self._state, self._shape.hidden_size
        maps = self._step("Transpose", "windows", perm=[0, 2, 1])
        maps = self._step("Unsqueeze", maps, self._constant(np.array([1])))
        filters, bias = (self._constant(state[f"{prefix}patch_embeddings.projection.{name}"])
                         for name in ("weight", "bias"))  # fmt: skip
        strides = [self._shape.frequency_stride, self._shape.time_stride]
        patches = self._step("Conv", maps, filters, bias, strides=strides)
        patches = self._step("Reshape", patches, self._constant(np.array([0, width, -1])))
        patches = self._step("Transpose", patches, perm=[0, 2, 1])
        places = state[prefix + "position_embeddings"]
        placed = self._step("Add", patches, self._constant(places[:, 2:]))
        tokens = np.concatenate([state[prefix + "cls_token"], state[prefix + "distillation_token"]], axis=1)
        count = self._step("Shape", "windows", start=0, end=1)
        size = self._step("Concat", count, self._constant(np.array([2, width])), axis=0)
        tokens_of_all = self._step("Expand", self._constant(tokens + places[:, :2]), size)
        return self._step("Concat", tokens_of_all, placed, axis=1)

    def _block(self, states: str, prefix: str) -> str:
        normed = self._normed(states, prefix + "layernorm_before")
        parts = [f"{prefix}attention.attention.{name}" for name in ("query", "key", "value")]
        query_key_value = self._steps("Split", self._product(normed, *parts), outputs=3, axis=2, num_outputs=3)
        mixed = self._step(
            "MultiHeadAttention", *query_key_value, domain=_MICROSOFT, num_heads=self._shape.num_attention_heads
        )
        states = self._step("Add", states, self._product(mixed, prefix + "attention.output.dense"))
        normed = self._normed(states, prefix + "layernorm_after")
        inner = self._step("Gelu", self._product(normed, prefix + "intermediate.dense"))
        return self._step("Add", states, self._product(inner, prefix + "output.dense"))

    def _normed(self, states: str, name: str) -> str:
        weight, bias = (self._constant(self._state[f"{name}.{part}"]) for part in ("weight", "bias"))
        return self._step("LayerNormalization", states, weight, bias, axis=-1, epsilon=self._shape.layer_norm_eps)

    def _product(self, states: str, *names: str) -> str:
        """With the weights of these layers, side by side."""
        weights = np.concatenate([self._state[name + ".weight"] for name in names]).T  # (in, out)
        steps = np.maximum(np.abs(weights).max(axis=0), 1e-30) / STEPS
        whole = np.rint(weights / steps).astype(np.int8)
        zeros = np.zeros(len(weights), np.float32)
        biases = np.concatenate([self._state.get(name + ".bias", zeros) for name in names])
        return self._step(
            "DynamicQuantizeMatMul",
            states,
            self._constant(whole),
            self._constant(steps.astype(np.float32)),
            self._constant(np.zeros(len(steps), np.int8)),
            self._constant(biases),
            domain=_MICROSOFT,
        )

    def _constant(self, array: NDArray[Any]) -> str:
        from onnx import numpy_helper

        name = f"constant_{len(self._constants)}"
        self._constants.append(numpy_helper.from_array(np.ascontiguousarray(array), name))
        return name

    def _step(self, operator: str, *inputs: str, **attributes: Any) -> str:
        """Add a step; returns the name of its output."""
        return self._steps(operator, *inputs, outputs=1, **attributes)[0]

    def _steps(self, operator: str, *inputs: str, outputs: int, **attributes: Any) -> list[str]:
        """Add a step of several outputs; returns their names."""
        from onnx import helper

        names = [f"step_{len(self._nodes)}_{number}" for number in range(outputs)]
        self._nodes.append(helper.make_node(operator, inputs, names, **attributes))
        return names
