"""Spectrogram transformers at work."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, require_features
from groovemark.ml.models.scores import sigmoid, softmax
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import Scorer


@dataclass(frozen=True)
class Member:
    """The networks of one fit, and the temperature of their scores."""

    networks: Sequence[Network]
    temperature: float


@dataclass(frozen=True)
class ScoringMember:
    """A member whose networks are ready to score."""

    scorers: Sequence[Scorer]
    temperature: float


class TransformerClassifier:
    """A `Classifier`: the mean of its networks' probabilities."""

    def __init__(self, spec: ModelSpec, members: Sequence[ScoringMember]) -> None:
        self._spec = spec
        self._members = tuple(members)

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of the n windows. Raises ModelRejected for rows of another feature set."""
        require_features(self._spec, batch)
        if not self._members:
            raise RuntimeError(f"{self._spec.full_name} is closed")
        answers = [
            probabilities(member, batch.tensors, is_multi_label=self._spec.is_multi_label) for member in self._members
        ]
        return np.asarray(np.mean(answers, axis=0), dtype=np.float32)

    def close(self) -> None:
        """Forget the networks."""
        self._members = ()


def probabilities(
    member: ScoringMember, windows: NDArray[np.float32], *, is_multi_label: bool = False
) -> NDArray[np.float64]:
    """(n, frame, band) → (n, k), the mean over the member's networks; of several labels at once, each for itself."""
    of_scores = sigmoid if is_multi_label else softmax
    answers = [of_scores(score(windows) / member.temperature) for score in member.scorers]
    return np.asarray(np.mean(answers, axis=0), dtype=np.float64)
