"""Tags (comma-separated words, most frequent first) as numbers: TF-IDF against a vocabulary, then one score a label."""

from __future__ import annotations

from array import array
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import repeat
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix

UNKNOWN = -1


def split_words(tags: str) -> list[str]:
    """The words of one cell of tags, in lower case."""
    return tags.lower().replace(",", " ").split()


def build_vocabulary(texts: Iterable[str]) -> dict[str, int]:
    """Every word of `texts` with its number, in alphabetical order."""
    words = sorted({word for text in texts for word in split_words(text)})
    return {word: number for number, word in enumerate(words)}


def find_words(texts: Sequence[str], vocabulary: Mapping[str, int]) -> csr_matrix:
    """(n, len(vocabulary)) with 1 where a text has a word; words outside the vocabulary are left out.

    One pass over the characters and one dictionary look-up a word: this is the cost of a row at prediction. A word
    that stands twice in a text has two entries.
    """
    from scipy.sparse import csr_matrix

    numbers = array("i")
    ends = np.zeros(len(texts) + 1, dtype=np.int64)
    # Text by text, so that its words are looked up while they are still in the processor's cache.
    for row, text in enumerate(texts, start=1):
        numbers.extend(map(vocabulary.get, split_words(text), repeat(UNKNOWN)))
        ends[row] = len(numbers)
    words = np.frombuffer(numbers, dtype=np.int32) if numbers else np.zeros(0, dtype=np.int32)
    known = words != UNKNOWN
    ends = np.concatenate([[0], np.cumsum(known)])[ends]
    ones = np.ones(int(ends[-1]))
    return csr_matrix((ones, words[known], ends), shape=(len(texts), len(vocabulary)))


@dataclass(frozen=True)
class TagScores:
    """TF-IDF with unit length, projected to one score a label; fitted on one fold.

    Attributes:
        idf: (v,) inverse document frequency ln((1 + n) / (1 + df)) + 1; 0 for words the fold never saw.
        weights: (v, k) score of a label for one unit of a word.
        bias: (k,) score of a label for no words at all.
    """

    idf: NDArray[np.float64]
    weights: NDArray[np.float64]
    bias: NDArray[np.float64]

    def __call__(self, words: csr_matrix) -> NDArray[np.float64]:
        """(n, v) found words -> (n, k) scores."""
        scores = words @ (self.idf[:, None] * self.weights)
        scores /= self._lengths(words)[:, None]
        scores += self.bias
        return np.asarray(scores)

    def weigh(self, words: csr_matrix) -> csr_matrix:
        """(n, v) found words -> (n, v) TF-IDF, each row of length 1."""
        from scipy.sparse import diags

        return (diags(1 / self._lengths(words)) @ words @ diags(self.idf)).tocsr()

    def _lengths(self, words: csr_matrix) -> NDArray[np.float64]:
        lengths = np.sqrt(words @ self.idf**2)
        return np.where(lengths > 0, lengths, 1.0)
