"""A model of texts at work."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.encoders.sentences import SentenceEncoder
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec, require_features
from groovemark.ml.models.scores import Floats, linear_scores, signed_logarithms, softmax

if TYPE_CHECKING:
    from groovemark.ml.encoders.bert import Layer

Encode = Callable[[Sequence[str]], NDArray[np.float32]]
ROWS_AT_ONCE = 1_000


@dataclass(frozen=True)
class Member:
    """One fit.

    Attributes:
        texts: which texts of a row are read.
        numbers: whether the scores look at the row's numbers as well.
        weights: (d, k); bias: (k,); standardisation is folded into both.
        temperature: that calibrates the scores.
        tuned_layers: how many of the encoder's last layers are changed.
        rank: of the adapters that change them.
        taught: the adapters' matrices, as `adapters.changes` names them; nothing where no layer is changed.
    """

    encoder: SentenceEncoder
    texts: tuple[str, ...]
    numbers: bool
    weights: Floats
    bias: Floats
    temperature: float
    tuned_layers: int
    rank: int
    taught: Mapping[str, Any]

    def probabilities(self, table: FeatureTable, encode: Encode | None = None, *, threads: int = 1) -> Floats:
        """(n, d) -> (n, k): softmax of the score over the temperature.

        Args:
            encode: in place of the member's own encoder.
        """
        own = encode or (lambda texts: self.encode(texts, threads=threads))
        scores = self.scores(to_inputs(table, self.texts, own, numbers=self.numbers)) / self.temperature
        return softmax(scores)

    def scores(self, inputs: Floats) -> Floats:
        """(n, d) inputs, as `to_inputs` makes them -> (n, k)."""
        return linear_scores(inputs, self.weights, self.bias)

    def encode(self, texts: Sequence[str], *, threads: int = 1) -> NDArray[np.float32]:
        """(n, width) by the encoder as it was tuned."""
        return self.encoder.encode(texts, tuned=self._layers, threads=threads)

    @cached_property
    def _layers(self) -> Sequence[Layer]:
        if not self.tuned_layers:
            return ()
        from groovemark.ml.models.text.adapters import merged

        return merged(self.encoder.opened()[0], self.tuned_layers, self.rank, self.taught)


class TextClassifier:
    """A `Classifier`: the mean of its members' probabilities."""

    def __init__(self, spec: ModelSpec, members: Sequence[Member], *, threads: int = 1) -> None:
        self._spec = spec
        self._members = tuple(members)
        self._threads = threads

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """(n, k) probabilities of the n rows; a text that the table does not have is empty.

        Raises ModelRejected for rows of another feature set, and, with the first rows, where the encoder's files are
        not those that the model was trained on.
        """
        require_features(self._spec, batch)
        answers = np.empty((len(batch), len(self._spec.labels)), dtype=np.float32)
        for start in range(0, len(batch), ROWS_AT_ONCE):
            rows = slice(start, start + ROWS_AT_ONCE)
            texts = {name: cells[rows] for name, cells in batch.texts.items()}
            answers[rows] = self._run_block(FeatureTable(batch.spec, batch.numbers[rows], texts))
        return answers

    def close(self) -> None:
        """Forget the heads; the encoder goes with them."""
        self._members = ()

    def _run_block(self, block: FeatureTable) -> Floats:
        # Members that did not tune the encoder share its vectors.
        known: dict[tuple[str, ...], NDArray[np.float32]] = {}

        def shared(member: Member) -> Encode:
            def encode(texts: Sequence[str]) -> NDArray[np.float32]:
                key = tuple(texts)
                if key not in known:
                    known[key] = member.encode(texts, threads=self._threads)
                return known[key]

            return encode

        total = np.zeros((len(block), len(self._spec.labels)))
        for member in self._members:
            encode = None if member.tuned_layers else shared(member)
            total += member.probabilities(block, encode, threads=self._threads)
        return np.asarray(total / total.sum(axis=1, keepdims=True))


def to_inputs(table: FeatureTable, texts: Sequence[str], encode: Encode, *, numbers: bool) -> Floats:
    """(n, d): signed logarithms of the row's numbers, and the vector of every text."""
    blocks = [signed_logarithms(table.numbers)] if numbers else []
    blocks += [encode(table.texts.get(name, [""] * len(table))).astype(np.float64) for name in texts]
    return np.hstack(blocks)
