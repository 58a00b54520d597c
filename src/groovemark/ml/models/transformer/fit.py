"""Fitting a member: a network taught on every row, after another has shown on an inner fold for how long."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from groovemark.errors import ConfigurationError, ModelRejected
from groovemark.ml.features.device import resolve
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.by_fold import loop_settings, require_blocks, teach_by_fold
from groovemark.ml.models.held import Held
from groovemark.ml.models.transformer.classifier import Member, ScoringMember, probabilities
from groovemark.ml.models.transformer.compiled import require_library
from groovemark.ml.models.transformer.load import read_base
from groovemark.ml.models.transformer.network import Network
from groovemark.ml.models.transformer.scoring import make_scorer
from groovemark.ml.models.transformer.settings import TransformerSettings
from groovemark.ml.models.transformer.shape import read_shape
from groovemark.ml.training.augment import augmented, mixed
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.checkpoint import checkpoint_file
from groovemark.ml.training.loop import Lesson, card_chosen, reproducible, teach
from groovemark.ml.training.search import Ranges

Floats = NDArray[np.float64]
Windows = NDArray[np.float32]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
TENSOR_AXES = 2
HELD_AT_ONCE = 32


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made: with these settings, one network for each of the seeds."""

    settings: TransformerSettings
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it."""

    member: Member
    settings: TransformerSettings
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for windows the member has not seen."""
        return probabilities(self._ready, table.tensors)

    @cached_property
    def _ready(self) -> ScoringMember:
        precision, device = self.settings.precision, torch.device(resolve("auto"))
        return ScoringMember(
            [make_scorer(_copy(network), precision, device) for network in self.member.networks],
            self.member.temperature,
        )


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan with the default settings changed.

    Raises:
        ConfigurationError: a setting is unknown, or cannot be, or is to be searched.
        ModelUnavailable: it is to answer in int8, and OpenVINO is not installed.
    """
    if ranges or trials:
        raise ConfigurationError("transformer has no search: give its settings, and others as variants")
    chosen = TransformerSettings().changed(settings)
    if chosen.precision == "int8":
        require_library()
    return Plan(chosen, seeds)


def fit(
    table: FeatureTable,
    targets: Integers,
    labels: int,
    folds: Folds,
    plan: Plan,
    *,
    report: Callable[[str], None] = lambda _: None,
) -> Fitted:
    """Fit a member on the table.

    A network for each seed, as `teach_by_fold` makes it; their held-out sides together give the temperature.

    Args:
        targets: (n,) label numbers from 0 to labels - 1.
        folds: inner (train, held-out) row numbers of this table.
        report: is told about the progress, a line at a time.
    """
    if len(table.spec.shape) != TENSOR_AXES:
        raise ConfigurationError(f"transformer takes tensors of frames and bands; {table.spec.name} is none")
    device = torch.device(resolve("auto"))
    taught = [
        teach_by_fold(len(table), labels, folds, plan.settings, teach=teacher.teach, score=teacher.score)
        for teacher in (
            _Teacher(table.tensors, targets, labels, plan.settings, seed, device, report) for seed in plan.seeds
        )
    ]
    held, scores = [one.held for one in taught], np.concatenate([one.scores for one in taught])
    temperature = plan.settings.temperature or fit_temperature(scores, targets[np.concatenate(held)])
    return Fitted(
        member=Member([one.network for one in taught], temperature),
        settings=plan.settings,
        held=Held.at(temperature, held, scores),
        chosen={
            "epochs": " ".join(str(one.epochs) for one in taught),
            "temperature": round(temperature, 4),
            **card_chosen(device),
        },
    )


@dataclass(frozen=True)
class _Teacher:
    """Teaches networks of one seed on some of the windows."""

    windows: Windows
    targets: Integers
    labels: int
    settings: TransformerSettings
    seed: int
    device: torch.device
    report: Callable[[str], None]

    def teach(self, rows: Integers, held: Integers | None, stop_after: int | None) -> tuple[Network, int]:
        """A network taught on these rows, and after how many epochs it answers."""
        settings, windows, targets = self.settings, self.windows[rows], self.targets[rows]
        held_out = () if held is None else (self.windows[held], self.targets[held])
        network = self._first(*windows.shape[1:])
        inputs = torch.from_numpy(windows).to(self.device)
        scale, shift = self._scaling(inputs)
        inputs = inputs * scale + shift
        shares = functional.one_hot(torch.from_numpy(targets).to(self.device), self.labels).float()

        def loss(batch: Tensor, draws: torch.Generator) -> Tensor:
            changed, answers = mixed(augmented(inputs[batch], settings, draws), shares[batch], settings, draws)
            return functional.cross_entropy(network(changed), answers, label_smoothing=settings.label_smoothing)

        taught_by = {**asdict(replace(settings, checkpoints="", precision="fp32")), "stop_after": stop_after}
        last = teach(
            Lesson(network, len(inputs), loss, self._held_loss(network, held_out, scale, shift)),
            loop_settings(settings, stop_after),
            seed=self.seed,
            checkpoint=checkpoint_file(
                settings.checkpoints, network, taught_by, self.seed, (windows, targets, *held_out)
            ),
            on_epoch=lambda epoch: self.report(f"seed {self.seed}, {len(inputs)} windows: {epoch}"),
        )
        network.take(scale, shift)
        return network, last.number

    def score(self, network: Network, rows: Integers) -> Floats:
        """(m, k) raw scores of these rows."""
        return make_scorer(network, "fp32", self.device)(self.windows[rows])

    def _scaling(self, inputs: Tensor) -> tuple[float, float]:
        """Windows are taught times the first plus the second: with a mean of 0 and a deviation of 1, or as the base
        knows them."""
        if self.settings.base:
            return 1.0, 0.0
        deviation = max(float(inputs.std()), 1e-3)
        return 1 / deviation, -float(inputs.mean()) / deviation

    def _first(self, frames: int, bands: int) -> Network:
        """Before training."""
        with reproducible(self.seed):
            if not self.settings.base:
                shape = self.settings.shape(frames, bands)
                _require_possible(shape.as_config(), self.labels)
                network = Network(shape, self.labels, dropout=self.settings.dropout)
                network.draw_weights()
            else:
                base = read_base(Path(self.settings.base))
                if (base.shape.max_length, base.shape.num_mel_bins) != (frames, bands):
                    raise ConfigurationError(f"the base takes other windows than those of {frames} frames")
                network = Network(base.shape, self.labels, dropout=self.settings.dropout)
                network.draw_weights()
                network.audio_spectrogram_transformer.load_state_dict(base.audio_spectrogram_transformer.state_dict())
        require_blocks(network.shape.num_hidden_layers, self.settings.frozen)
        network.freeze(self.settings.frozen)
        return network.to(self.device)

    def _held_loss(
        self, network: Network, held: tuple[Windows, Integers] | tuple[()], scale: float, shift: float
    ) -> Callable[[], float] | None:
        if not held or not self.settings.patience:
            return None
        inputs, targets = (torch.from_numpy(array).to(self.device) for array in held)
        inputs = inputs * scale + shift

        def held_loss() -> float:
            blocks = zip(torch.split(inputs, HELD_AT_ONCE), torch.split(targets, HELD_AT_ONCE), strict=True)
            return sum(float(functional.cross_entropy(network(x), y, reduction="sum")) for x, y in blocks) / len(inputs)

        return held_loss


def _require_possible(config: Mapping[str, Any], labels: int) -> None:
    try:
        read_shape(config, labels)
    except ModelRejected as error:
        raise ConfigurationError(f"these settings make no network: {error.message}") from error


def _copy(network: Network) -> Network:
    """Scoring changes how weights are held."""
    copied = Network(network.shape, network.labels)
    copied.load_state_dict(network.state_dict())
    return copied
