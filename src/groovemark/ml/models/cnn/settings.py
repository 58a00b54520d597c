"""What can be chosen about a convolutional network and how it is taught."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groovemark.ml.models.changing import with_changes
from groovemark.ml.training.loop import LoopSettings


@dataclass(frozen=True, slots=True)
class CnnSettings:
    """Settings of one network.

    Attributes:
        channels: of each block of convolution, batch norm, ReLU and pooling.
        pool: frames and bands that are averaged before the first block.
        across: whether the first block's filters span all bands.
        dropout: share of the pooled channels that are left out.
        label_smoothing: how much of the target is spread over all labels.
        mixup: parameter of the beta distribution from which the shares of two mixed windows are drawn; 0 mixes none.
        masked: longest run of frames, and of bands, that is masked, as a share of all; 0 masks none.
        noise: standard deviation of noise that is added, in standard deviations of a band.
        gain: standard deviation of a change of loudness, in standard deviations of a band.
        epochs, batch_size, learning_rate, weight_decay: as in `LoopSettings`.
        checkpoints: folder in which every network's standing is kept, to go on from there; empty keeps none.
    """

    channels: tuple[int, ...] = (16, 32, 64, 64)
    pool: tuple[int, int] = (1, 1)
    across: bool = False
    dropout: float = 0.3
    label_smoothing: float = 0.1
    mixup: float = 0.0
    masked: float = 0.15
    noise: float = 0.05
    gain: float = 0.0
    epochs: int = 20
    batch_size: int = 64
    learning_rate: float = 3e-3
    weight_decay: float = 0.05
    checkpoints: str = ""

    def loop(self) -> LoopSettings:
        """Of the training loop."""
        return LoopSettings(
            epochs=self.epochs,
            batch_size=self.batch_size,
            learning_rate=self.learning_rate,
            weight_decay=self.weight_decay,
        )

    def changed(self, values: Mapping[str, object]) -> CnnSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist."""
        return with_changes("cnn", self, values)
