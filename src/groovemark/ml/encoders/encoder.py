"""Making rows of one feature set out of rows of another, with a frozen network that was imported beforehand."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelUnavailable
from groovemark.ml.encoders.weights import read_weights
from groovemark.ml.features.sets import FEATURE_SETS, MUSICNN_WEIGHTS_SHA256
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

if TYPE_CHECKING:
    from groovemark.ml.encoders.musicnn import MusiCNN

Layers = Callable[[FeatureTable, str], NDArray[np.float32]]
"""(table of n rows, layer) -> (n, width) activations of the layer; safe to share between threads."""

MUSICNN_FOLDER = Path("musicnn", "1")
"""Where its import puts the weights, in the folder of models."""
WEIGHTS_NAME = "model.safetensors"
IMPORT_MUSICNN = "`groovemark model import musicnn`"
_WEIGHTS_BYTES_MAX = 4 << 20


class Encoder:
    """Rows of `takes` in, rows of `gives` out."""

    def __init__(self, gives: FeatureSpec, layers: Layers) -> None:
        if gives.encoding is None:
            raise ValueError(f"{gives.name} is not made by a network")
        self.gives, self.takes = gives, FEATURE_SETS[gives.encoding.takes]
        self._layer, self._layers = gives.encoding.layer, layers

    def encode(self, table: FeatureTable) -> FeatureTable:
        """As many rows of `gives`. Raises ModelRejected for rows of another set than `takes`."""
        return FeatureTable.of_windows(self.gives, self._layers(table, self._layer))


def open_encoder(gives: FeatureSpec, models: Path, *, for_whom: str, threads: int = 1) -> Encoder:
    """The encoder of a set that a network makes.

    Args:
        models: the folder of models, in which imported networks lie.
        for_whom: named where it cannot be had.
        threads: how many cores one `encode` may use.

    Raises:
        ModelUnavailable: the network was not imported, or needs what is not installed.
        ModelRejected: its weights are damaged.
    """
    return Encoder(gives, open_musicnn(models / MUSICNN_FOLDER, threads=threads, for_whom=for_whom))


def open_musicnn(folder: Path, *, threads: int, for_whom: str) -> Layers:
    """MusiCNN out of the folder to which it was imported; raises as `open_encoder` does.

    Torch, which takes seconds and hundreds of megabytes, is imported with the first rows: workers may never get any.
    """
    if not folder.is_dir():
        raise ModelUnavailable(
            f"{for_whom} needs the weights of MusiCNN, which are for study and research only and do not come with "
            f"groovemark: {IMPORT_MUSICNN} takes them from the PyPI package musicnn"
        )
    for library in ("torch", "safetensors"):
        if find_spec(library) is None:
            raise ModelUnavailable(f"{for_whom} needs {library}: pip install '.[torch]'")
    weights = read_weights(folder / WEIGHTS_NAME, MUSICNN_WEIGHTS_SHA256, bytes_max=_WEIGHTS_BYTES_MAX)

    @cache
    def network() -> MusiCNN:
        from groovemark.ml.encoders.musicnn import build

        return build(weights)

    def layers(table: FeatureTable, layer: str) -> NDArray[np.float32]:
        from groovemark.ml.encoders.musicnn import activations

        return activations(network(), table, layer, threads=threads)

    return layers
