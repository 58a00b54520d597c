"""Convolutional networks at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray

from groovemark.ml.features.arithmetic import whole_float32
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, require_features
from groovemark.ml.models.cnn.network import Network

BLOCK_ROWS = 64
"""Windows computed together: more take more memory, and on the processor no less time."""
LARGEST = 1e6
"""Numbers are cut here, far from any real feature, so that scores stay finite."""


@dataclass(frozen=True)
class Member:
    """The networks of one fit, and the temperature of each one's scores."""

    networks: Sequence[Network]
    temperature: float


class CnnClassifier:
    """A `Classifier`: the mean of its networks' probabilities."""

    def __init__(self, spec: ModelSpec, members: Sequence[Member], *, device: Literal["cpu", "cuda"] = "cpu") -> None:
        self._spec = spec
        self._members = tuple(members)
        self._device = torch.device(device)
        for member in self._members:
            for network in member.networks:
                network.to(self._device).eval()

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of the n windows. Raises ModelRejected for rows of another feature set."""
        require_features(self._spec, batch)
        answers = np.zeros((len(batch), len(self._spec.labels)))
        for member in self._members:
            answers += probabilities(member, batch.tensors, self._device)
        return np.asarray(answers / answers.sum(axis=1, keepdims=True), dtype=np.float32)

    def close(self) -> None:
        """Forget the networks."""
        self._members = ()


def probabilities(member: Member, windows: NDArray[np.float32], device: torch.device) -> NDArray[np.float64]:
    """(n, frame, band) → (n, k), the mean over the member's networks."""
    scores = np.stack([raw_scores(network, windows, device) for network in member.networks])  # (network, n, k)
    return torch.softmax(torch.from_numpy(scores / member.temperature), dim=2).mean(dim=0).numpy()


def raw_scores(network: Network, windows: NDArray[np.float32], device: torch.device) -> NDArray[np.float64]:
    """(n, frame, band) → (n, k), a block at a time."""
    blocks = []
    with torch.inference_mode(), whole_float32(device):
        for start in range(0, len(windows), BLOCK_ROWS):
            block = torch.from_numpy(windows[start : start + BLOCK_ROWS]).to(device).clamp(-LARGEST, LARGEST)
            blocks.append(network(network.encode(block)).double().cpu().numpy())
    return np.concatenate(blocks) if blocks else np.zeros((0, network.head.out_features))
