"""MusiCNN's tags as a classifier: each label has a probability of its own."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.encoders.encoder import Layers
from groovemark.ml.encoders.musicnn_tags import TAG_NAMES
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, require_features


class TagClassifier:
    """A `Classifier` of several labels at once."""

    def __init__(self, spec: ModelSpec, layers: Layers) -> None:
        self._spec = spec
        self._layers: Layers | None = layers
        self._order = [TAG_NAMES.index(label) for label in spec.labels]

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, 50) probabilities, each for itself. Raises ModelRejected for rows of another feature set."""
        require_features(self._spec, batch)
        if self._layers is None:
            raise RuntimeError(f"{self._spec.full_name} is closed")
        return self._layers(batch, "tags")[:, self._order]

    def close(self) -> None:
        """Forget the network."""
        self._layers = None
