"""What can be chosen about a spectrogram transformer and how it is taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groovemark.ml.models.by_fold import require_teachable
from groovemark.ml.models.changing import with_changes
from groovemark.ml.models.precision import PRECISIONS, Precision, require_precision
from groovemark.ml.models.transformer.shape import AstShape


@dataclass(frozen=True, slots=True)
class TransformerSettings:
    """Settings of one network.

    Attributes:
        base: folder of an artifact of this family whose weights training starts from, all but the last layer; the
            sizes are then the base's. Empty: weights are drawn.
        frozen: so many of the first blocks, and the embeddings before them, stay as they are; 0 trains everything.
        hidden_size … time_stride: as in `AstShape`; the window's frames and bands are those of the features.
        dropout: share left out of the embeddings and of what every half block adds.
        label_smoothing: how much of the target is spread over all labels.
        mixup, masked, noise, gain: as in `Augmentation`.
        epochs, batch_size, learning_rate, weight_decay, warm_up: as in `LoopSettings`.
        patience: epochs without a smaller loss on an inner fold after which it stops; 0 goes through all epochs.
        temperature: by which scores are divided; 0 finds it on an inner fold, with a network that is taught for
            nothing else where there is no patience.
        precision: in which it answers.
        checkpoints: folder in which every network's standing is kept, to go on from there; empty keeps none.
    """

    base: str = ""
    frozen: int = 0
    hidden_size: int = 128
    num_hidden_layers: int = 4
    num_attention_heads: int = 4
    intermediate_size: int = 256
    patch_size: int = 16
    frequency_stride: int = 16
    time_stride: int = 16
    dropout: float = 0.1
    label_smoothing: float = 0.1
    mixup: float = 0.3
    masked: float = 0.2
    noise: float = 0.05
    gain: float = 0.1
    epochs: int = 30
    batch_size: int = 32
    learning_rate: float = 1e-3
    weight_decay: float = 0.05
    warm_up: float = 0.1
    patience: int = 0
    temperature: float = 0.0
    precision: Precision = "fp32"
    checkpoints: str = ""

    def shape(self, frames: int, bands: int) -> AstShape:
        """Of a network without a base."""
        return AstShape(
            hidden_size=self.hidden_size,
            num_hidden_layers=self.num_hidden_layers,
            num_attention_heads=self.num_attention_heads,
            intermediate_size=self.intermediate_size,
            patch_size=self.patch_size,
            frequency_stride=self.frequency_stride,
            time_stride=self.time_stride,
            max_length=frames,
            num_mel_bins=bands,
        )

    def changed(self, values: Mapping[str, object]) -> TransformerSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist."""
        changed = with_changes("transformer", self, values)
        require_precision(changed.precision, PRECISIONS)
        require_teachable(changed)
        return changed
