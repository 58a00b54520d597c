"""What can be chosen about a model of texts."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

from groovemark.errors import ConfigurationError
from groovemark.ml.encoders.sentences import MINILM
from groovemark.ml.models.changing import with_changes

if TYPE_CHECKING:
    from groovemark.ml.training.loop import LoopSettings

LAYERS_MAX = 12
RANK_MAX = 64


@dataclass(frozen=True, slots=True)
class TextSettings:
    """Settings of one member.

    Attributes:
        encoder: `minilm`, a folder or a name on the hub; see ml.encoders.sentences.
        texts: which texts of a row are read, each for itself.
        numbers: whether the scores look at the row's numbers as well.
        inverse_penalty: of the logistic regression that is the head.
        tuned_layers: how many of the encoder's last layers are fine-tuned together with the head, by adapters of low
            rank (Hu et al. 2021, arXiv 2106.09685); 0 leaves the encoder as it is.
        rank: of the adapters.
        epochs, batch_size, learning_rate, weight_decay: of the fine-tuning.
        checkpoints: folder in which the fine-tuning's standing is kept, to go on from there; empty keeps none.
    """

    encoder: str = MINILM
    texts: tuple[str, ...] = ("title", "tags")
    numbers: bool = True
    inverse_penalty: float = 10.0
    tuned_layers: int = 0
    rank: int = 8
    epochs: int = 4
    batch_size: int = 16
    learning_rate: float = 1e-3
    weight_decay: float = 0.01
    checkpoints: str = ""

    def changed(self, values: Mapping[str, object]) -> TextSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist, or cannot be."""
        chosen = with_changes("text", self, values)
        if not chosen.texts:
            raise ConfigurationError("a model of texts must read a text: name title or a column of text in texts")
        if not 0 <= chosen.tuned_layers <= LAYERS_MAX or not 1 <= chosen.rank <= RANK_MAX:
            raise ConfigurationError(
                f"tuned_layers of text must be from 0 to {LAYERS_MAX}, its rank from 1 to {RANK_MAX}"
            )
        return chosen

    def loop(self) -> LoopSettings:
        """How the adapters are taught."""
        from groovemark.ml.training.loop import LoopSettings

        return LoopSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )
