"""Networks on waveforms at work."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, require_features
from groovemark.ml.models.scores import sigmoid, softmax
from groovemark.ml.models.waveform.scoring import Scorer


class WaveformClassifier:
    """A `Classifier` of windows of samples."""

    def __init__(self, spec: ModelSpec, scorer: Scorer) -> None:
        self._spec = spec
        self._scorer: Scorer | None = scorer

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of the n windows. Raises ModelRejected for rows of another feature set."""
        require_features(self._spec, batch)
        if self._scorer is None:
            raise RuntimeError(f"{self._spec.full_name} is closed")
        if not len(batch):
            return np.empty((0, len(self._spec.labels)), dtype=np.float32)
        of_scores = sigmoid if self._spec.is_multi_label else softmax
        return of_scores(self._scorer(batch.tensors)).astype(np.float32)

    def close(self) -> None:
        """Forget the network."""
        self._scorer = None
