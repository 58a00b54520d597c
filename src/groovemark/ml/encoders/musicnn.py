"""MusiCNN, trained on the Million Song Dataset: 50 tags of three seconds of music, and the layers below them.

Source: Pons & Serra 2019, "musicnn: pre-trained convolutional neural networks for music audio tagging" (arXiv
1909.06654); the architecture is that of Pons et al. 2018 (arXiv 1711.02520). The weights are imported by the user
(`encoders.musicnn_source`), never shipped.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Lock

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from groovemark.errors import ModelRejected
from groovemark.ml.encoders.weights import Weights
from groovemark.ml.features.arithmetic import whole_float32
from groovemark.ml.features.sets import LOG_MEL
from groovemark.ml.features.tabular import FeatureTable

MEL_BANDS = 96
TIMBRE_FILTERS, TEMPO_FILTERS, MIDDLE_FILTERS = 204, 51, 64
TIMBRE_BANDS = (38, 67)
"""Heights in mel bands of the filters that look for timbre."""
TEMPO_FRAMES = (128, 64, 32)
"""Lengths in frames of the filters that look for rhythm."""
CONTEXT_FRAMES = 7
POOLED = 2 * TIMBRE_FILTERS + 3 * TEMPO_FILTERS + 3 * MIDDLE_FILTERS
"""753 channels that are pooled over time."""
PENULTIMATE = 200
TAGS = 50
WIDTHS = {"tags": TAGS, "penultimate": PENULTIMATE, "mean_pool": POOLED, "max_pool": POOLED}
LARGEST = 1e3
"""Numbers are cut here, far from any real spectrogram, so that nothing overflows."""
_LOCK = Lock()
_EPSILON = 1e-3


@dataclass(frozen=True)
class Activations:
    """Of n windows.

    Attributes:
        tags: (n, 50) from 0 to 1, each tag for itself, in the network's own order.
        penultimate: (n, 200).
        mean_pool, max_pool: (n, 753) of every channel, over time.
    """

    tags: Tensor
    penultimate: Tensor
    mean_pool: Tensor
    max_pool: Tensor


class _Convolution(nn.Module):
    """Convolution, rectifier, normalisation; over as many bands as the filter is high."""

    def __init__(self, filters: int, frames: int, bands: int) -> None:
        super().__init__()
        self.convolution = nn.Conv2d(1, filters, (frames, bands))
        self.norm = nn.BatchNorm2d(filters, eps=_EPSILON)
        # Even filters reach one frame further into the future than into the past.
        self.padding = (0, 0, (frames - 1) // 2, frames // 2)

    def forward(self, image: Tensor) -> Tensor:
        """(n, 1, frames, bands) -> (n, filters, frames, bands left)."""
        activated = functional.relu(self.convolution(functional.pad(image, self.padding)))
        return self.norm(activated)  # type: ignore[no-any-return]


class MusiCNN(nn.Module):
    """Front end of tall and long filters, three residual layers over their channels, pooling over time, two dense
    layers."""

    def __init__(self) -> None:
        super().__init__()
        self.input_norm = nn.BatchNorm2d(1, eps=_EPSILON)
        self.timbre = nn.ModuleList(_Convolution(TIMBRE_FILTERS, CONTEXT_FRAMES, bands) for bands in TIMBRE_BANDS)
        self.tempo = nn.ModuleList(_Convolution(TEMPO_FILTERS, frames, 1) for frames in TEMPO_FRAMES)
        front = 2 * TIMBRE_FILTERS + 3 * TEMPO_FILTERS
        widths = (front, MIDDLE_FILTERS, MIDDLE_FILTERS)
        self.middle = nn.ModuleList(_Convolution(MIDDLE_FILTERS, CONTEXT_FRAMES, width) for width in widths)
        self.pooled_norm = nn.BatchNorm1d(2 * POOLED, eps=_EPSILON)
        self.penultimate = nn.Linear(2 * POOLED, PENULTIMATE)
        self.penultimate_norm = nn.BatchNorm1d(PENULTIMATE, eps=_EPSILON)
        self.tags = nn.Linear(PENULTIMATE, TAGS)

    def forward(self, log_mel: Tensor) -> Activations:
        """Every layer of interest.

        Args:
            log_mel: (n, frames, 96) as the feature set `log-mel` has them; trained on 187 frames.
        """
        image = self.input_norm(log_mel[:, None])  # (n, 1, frames, 96)
        front = torch.cat([layer(image).amax(3) for layer in (*self.timbre, *self.tempo)], dim=1)  # (n, 561, frames)
        layers = [front]
        for number, layer in enumerate(self.middle):
            middle = layer(layers[-1].transpose(1, 2)[:, None]).squeeze(3)  # (n, 64, frames)
            layers.append(middle + layers[-1] if number else middle)
        channels = torch.cat(layers, dim=1)  # (n, 753, frames)
        largest, mean = channels.amax(2), channels.mean(2)
        pooled = torch.stack([largest, mean], dim=2).flatten(1)  # (n, 1506): both of a channel side by side
        penultimate = self.penultimate_norm(functional.relu(self.penultimate(self.pooled_norm(pooled))))
        return Activations(torch.sigmoid(self.tags(penultimate)), penultimate, mean, largest)


def shapes() -> dict[str, tuple[int, ...]]:
    """Of every tensor of the network's weights, by name."""
    with torch.device("meta"):
        tensors = MusiCNN().state_dict()
    return {name: tuple(tensor.shape) for name, tensor in tensors.items() if tensor.is_floating_point()}


def build(weights: Weights) -> MusiCNN:
    """The network with these weights, ready to answer."""
    network = MusiCNN()
    state = network.state_dict()  # with counters of batches, which only training reads
    network.load_state_dict(state | {name: torch.from_numpy(np.array(array)) for name, array in weights.items()})
    return network.eval().requires_grad_(False)


def activations(network: MusiCNN, table: FeatureTable, layer: str, *, threads: int = 1) -> NDArray[np.float32]:
    """(n, width) of one layer, a field of Activations, for n rows of `log-mel`.

    Each window is computed by itself, on one core: it then has the same bits alone and among others.

    Raises ModelRejected for rows of another feature set.
    """
    if table.spec.sha256 != LOG_MEL.sha256:
        raise ModelRejected(f"MusiCNN takes {LOG_MEL.name}, these rows are {table.spec.name}")
    answer = np.empty((len(table), WIDTHS[layer]), dtype=np.float32)

    @torch.inference_mode()
    def fill(row: int) -> None:
        window = np.clip(table.tensors[row : row + 1], -LARGEST, LARGEST)  # (1, 187, 96)
        answer[row] = getattr(network(torch.from_numpy(window)), layer)[0].numpy()

    # The lock: how torch computes is one setting for the whole process.
    with _LOCK, whole_float32(torch.device("cpu")), ThreadPoolExecutor(threads) as executor:
        list(executor.map(fill, range(len(table))))
    return answer
