"""A classifier that stands on a frozen network: rows of its features are made of rows of another set."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.encoders.encoder import Encoder
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import Classifier, ModelSpec


class EncodedClassifier:
    """A `Classifier` whose features nothing but its encoder can make.

    Attributes:
        encoder: from the rows that are extracted from audio to those that `run` takes.
    """

    def __init__(self, head: Classifier, encoder: Encoder) -> None:
        self._head = head
        self.encoder = encoder

    @property
    def spec(self) -> ModelSpec:
        return self._head.spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of n encoded rows. Raises ModelRejected for rows of another feature set."""
        return self._head.run(batch)

    def close(self) -> None:
        """Forget the head; the encoder goes with this."""
        self._head.close()
