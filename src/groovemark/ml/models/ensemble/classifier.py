"""An ensemble at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import Classifier, ModelSpec, require_features
from groovemark.ml.models.scores import tempered


class EnsembleClassifier:
    """A `Classifier` and a `Composite`.

    Args:
        spec: whose own features are those of the first member.
        members: with their weights; the weights are positive.
        temperature: of their mean, which is too unsure of itself where they are sure in different places.
    """

    def __init__(self, spec: ModelSpec, members: Sequence[tuple[Classifier, float]], temperature: float = 1.0) -> None:
        total = sum(weight for _, weight in members)
        self._members = tuple((model, weight / total) for model, weight in members)
        sets = {model.spec.features.name: model.spec.features for model, _ in members}
        others = tuple(features for name, features in sets.items() if name != spec.features.name)
        self._spec = replace(spec, other_features=others)
        self._temperature = temperature

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    @property
    def members(self) -> Sequence[tuple[Classifier, float]]:
        return self._members

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k): the weighted mean of the members' probabilities at the temperature, where all take these rows.

        Raises ModelRejected for rows of another feature set, and where the members take several sets: then
        `predict_audio` asks them one by one.
        """
        require_features(self._spec, batch)
        if self._spec.other_features:
            others = ", ".join(features.name for features in self._spec.other_features)
            raise ModelRejected(
                f"{self._spec.full_name} answers for audio alone: its members take {others} besides {batch.spec.name}"
            )
        total = np.zeros((len(batch), len(self._spec.labels)))
        for model, weight in self._members:
            total += weight * model.run(batch)
        return self.of_means(total).astype(np.float32)

    def of_means(self, means: NDArray[np.float64], /) -> NDArray[np.float64]:
        """(n, k) weighted means → (n, k) at the temperature."""
        return tempered(means, self._temperature)

    def close(self) -> None:
        """Closes the members, which nobody else holds."""
        for model, _ in self._members:
            model.close()
        self._members = ()
