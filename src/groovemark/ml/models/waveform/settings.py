"""What fine-tuning of a network on waveforms can be told."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groovemark.errors import ConfigurationError
from groovemark.ml.models.by_fold import require_teachable
from groovemark.ml.models.changing import with_changes
from groovemark.ml.models.precision import Precision, require_precision
from groovemark.ml.models.waveform.scoring import PRECISIONS


@dataclass(frozen=True, slots=True)
class WaveformSettings:
    """Settings of a fit.

    Attributes:
        base: folder of an artifact of this family, whose weights are the first; the head alone is drawn. Nothing is
            taught from scratch: these networks have learned to hear from more than anyone has labelled.
        frozen: so many of the first blocks stay as they are. The convolutions and what projects their frames always do.
        label_smoothing: how much of the target is spread over all labels.
        noise: standard deviation of noise that is added to the samples, as the network takes them.
        epochs, batch_size, learning_rate, weight_decay, warm_up: as in `LoopSettings`.
        patience: epochs without a smaller loss on an inner fold after which it stops; 0 goes through all epochs.
        temperature: by which scores are divided; 0 finds it on an inner fold, with a network that is taught for
            nothing else where there is no patience.
        precision: in which it answers.
        checkpoints: folder in which every network's standing is kept, to go on from there; empty keeps none.
    """

    base: str = ""
    frozen: int = 0
    label_smoothing: float = 0.0
    noise: float = 0.01
    epochs: int = 10
    batch_size: int = 8
    learning_rate: float = 5e-5
    weight_decay: float = 0.01
    warm_up: float = 0.1
    patience: int = 0
    temperature: float = 0.0
    precision: Precision = "fp32"
    checkpoints: str = ""

    def changed(self, values: Mapping[str, object]) -> WaveformSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist, and for no base."""
        changed = with_changes("waveform", self, values)
        require_precision(changed.precision, PRECISIONS)
        if not changed.base:
            raise ConfigurationError("waveform is fine-tuned: name a model beside the family, as in base = 'hubert@1'")
        require_teachable(changed)
        return changed
