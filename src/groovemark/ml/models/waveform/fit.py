"""Fine-tuning a network on waveforms: the weights of an imported one, and a head that is drawn."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from groovemark.errors import ConfigurationError
from groovemark.ml.features.device import resolve
from groovemark.ml.features.sets import WAVEFORM_10S
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.by_fold import loop_settings, require_blocks, teach_by_fold
from groovemark.ml.models.held import Held
from groovemark.ml.models.precision import Precision
from groovemark.ml.models.scores import softmax
from groovemark.ml.models.waveform.load import Loaded, read_base
from groovemark.ml.models.waveform.network import fill, freeze, head, make_network
from groovemark.ml.models.waveform.scoring import Scorer, make_scorer, normalised
from groovemark.ml.models.waveform.settings import WaveformSettings
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.checkpoint import checkpoint_file
from groovemark.ml.training.loop import Lesson, card_chosen, reproducible, teach
from groovemark.ml.training.search import Ranges

Floats = NDArray[np.float64]
Windows = NDArray[np.float32]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
FIRST_WEIGHTS = 0.02
"""Standard deviation of the head's before training, as the library draws them."""
HELD_AT_ONCE = 8


@dataclass(frozen=True, slots=True)
class Plan:
    """How a network is made."""

    settings: WaveformSettings
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A network with what was chosen for it; its temperature has gone into its head."""

    network: Loaded
    settings: WaveformSettings
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for windows the network has not seen."""
        score = _scorer(self.network, self.settings.precision, torch.device(resolve("auto")))
        return softmax(score(table.tensors))


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan with the default settings changed.

    Raises ConfigurationError for unknown settings, no base, a search, and more than one network.
    """
    if ranges or trials:
        raise ConfigurationError("waveform has no search: give its settings, and others as variants")
    if len(seeds) > 1:
        raise ConfigurationError("waveform is one network: set bag = 1")
    return Plan(WaveformSettings().changed(settings), seeds[0])


def fit(
    table: FeatureTable,
    targets: Integers,
    labels: int,
    folds: Folds,
    plan: Plan,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit a network on the table, as `teach_by_fold` does.

    Args:
        targets: (n,) label numbers from 0 to labels - 1.
        folds: inner (train, held-out) row numbers of this table.
        report: is told about the progress, a line at a time.

    Raises:
        ConfigurationError: the table is not of windows of samples.
        ModelRejected: the base cannot be used.
    """
    if table.spec.sha256 != WAVEFORM_10S.sha256:
        raise ConfigurationError(f"waveform takes {WAVEFORM_10S.name}, not {table.spec.name}")
    device = torch.device(resolve("auto"))
    base = read_base(Path(plan.settings.base))
    teacher = _Teacher(table.tensors, targets, labels, base, plan.settings, plan.seed, device, report)
    taught = teach_by_fold(len(table), labels, folds, plan.settings, teach=teacher.teach, score=teacher.score)
    temperature = plan.settings.temperature or fit_temperature(taught.scores, targets[taught.held])
    for parameter in head(taught.network).parameters():
        parameter.data /= temperature
    return Fitted(
        network=replace(base, network=taught.network.cpu()),
        settings=plan.settings,
        held=Held.at(temperature, [taught.held], taught.scores),
        chosen={"epochs": str(taught.epochs), "temperature": round(temperature, 4), **card_chosen(device)},
    )


@dataclass(frozen=True)
class _Teacher:
    """Teaches networks of one seed on some of the windows."""

    windows: Windows
    targets: Integers
    labels: int
    base: Loaded
    settings: WaveformSettings
    seed: int
    device: torch.device
    report: Callable[[str], None]

    def teach(self, rows: Integers, held: Integers | None, stop_after: int | None) -> tuple[nn.Module, int]:
        """A network taught on these rows, and after how many epochs it answers."""
        settings, network = self.settings, self._first()

        def loss(batch: Tensor, draws: torch.Generator) -> Tensor:
            inputs, targets = self._batch(rows[batch.numpy()])
            changed = _rolled(inputs, draws)
            changed = changed + settings.noise * torch.randn(changed.shape, generator=draws)
            scores = network(changed.to(self.device)).logits
            return functional.cross_entropy(scores, targets, label_smoothing=settings.label_smoothing)

        taught_by = {
            **asdict(replace(settings, base="", checkpoints="", precision="fp32")),
            "stop_after": stop_after,
            "heard": self.base.shape.as_config(),
            "is_normalised": self.base.is_normalised,
        }
        last = teach(
            Lesson(network, len(rows), loss, self._held_loss(network, held)),
            loop_settings(settings, stop_after),
            seed=self.seed,
            checkpoint=checkpoint_file(
                settings.checkpoints, network, taught_by, self.seed, self._learned_from(rows, held)
            ),
            on_epoch=lambda epoch: self.report(f"seed {self.seed}, {len(rows)} windows: {epoch}"),
        )
        return network, last.number

    def score(self, network: nn.Module, rows: Integers) -> Floats:
        """(m, k) raw scores of these rows."""
        return _scorer(replace(self.base, network=network), "fp32", self.device)(self.windows[rows])

    def _first(self) -> nn.Module:
        """Before training: all but the head is the base's, and what is frozen asks for no gradient."""
        with reproducible(self.seed):
            network = make_network(self.base.shape, self.labels)
            drawn = FIRST_WEIGHTS * torch.randn(head(network).weight.shape)
            own = {"classifier.weight": drawn, "classifier.bias": torch.zeros(self.labels)}
            fill(network, {name: tensor.clone() for name, tensor in {**self.base.network.state_dict(), **own}.items()})
        require_blocks(self.base.shape.entries["num_hidden_layers"], self.settings.frozen)
        freeze(network, self.settings.frozen)
        return network.to(self.device)

    def _held_loss(self, network: nn.Module, held: Integers | None) -> Callable[[], float] | None:
        if held is None or not self.settings.patience:
            return None
        blocks = [held[start : start + HELD_AT_ONCE] for start in range(0, len(held), HELD_AT_ONCE)]

        def held_loss() -> float:
            total = 0.0
            for inputs, targets in map(self._batch, blocks):
                scores = network(inputs.to(self.device)).logits
                total += float(functional.cross_entropy(scores, targets, reduction="sum"))
            return total / len(held)

        return held_loss

    def _batch(self, rows: Integers) -> tuple[Tensor, Tensor]:
        """(m, time) as the network takes them, in the machine's own memory, and (m,) targets, on the device. Of a few
        rows: a table of windows is too large to be held twice."""
        windows = self.windows[rows]
        inputs = torch.from_numpy(normalised(windows) if self.base.is_normalised else windows)
        return inputs, torch.from_numpy(self.targets[rows]).to(self.device)

    def _learned_from(self, *sides: Integers | None) -> Iterator[NDArray[Any]]:
        """One array at a time, as they are large."""
        for rows in sides:
            if rows is not None:
                yield self.windows[rows]
                yield self.targets[rows]


def _rolled(windows: Tensor, draws: torch.Generator) -> Tensor:
    """(n, time), each beginning somewhere else."""
    shifts = torch.randint(windows.shape[1], (len(windows),), generator=draws).tolist()
    return torch.stack([window.roll(shift) for window, shift in zip(windows, shifts, strict=True)])


def _scorer(loaded: Loaded, precision: Precision, device: torch.device) -> Scorer:
    """Of a copy: scoring changes how weights are held."""
    network = make_network(loaded.shape, loaded.labels)
    fill(network, {name: tensor.detach().clone() for name, tensor in loaded.network.state_dict().items()})
    return make_scorer(network, precision, device, is_normalised=loaded.is_normalised)
