"""Fitting a member: networks taught on each inner fold and on every row, which answer together."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from groovemark.errors import ConfigurationError
from groovemark.ml.features.device import resolve
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.cnn.classifier import Member, probabilities, raw_scores
from groovemark.ml.models.cnn.network import Network
from groovemark.ml.models.cnn.settings import CnnSettings
from groovemark.ml.models.held import Held
from groovemark.ml.training.augment import augmented, mixed
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.checkpoint import checkpoint_file
from groovemark.ml.training.loop import Lesson, card_chosen, reproducible, teach
from groovemark.ml.training.search import Ranges

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
TENSOR_AXES = 2


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made: with these settings, for each seed one network an inner fold and one more."""

    settings: CnnSettings
    seeds: tuple[int, ...]


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it."""

    member: Member
    settings: CnnSettings
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for windows the member has not seen."""
        device = next(self.member.networks[0].parameters()).device
        return probabilities(self.member, table.tensors, device)


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan with the default settings changed. Raises ConfigurationError for unknown settings, and for a search."""
    if ranges or trials:
        raise ConfigurationError("cnn has no search: give its settings, and others as variants")
    return Plan(CnnSettings().changed(settings), seeds)


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

    Networks are taught through all epochs: stopped where an inner fold's held-out side is answered best they were
    worse, as a side of few artists favours chance. So it serves the temperature alone. The networks of the inner folds
    then answer together with one that was taught on every row.

    Args:
        targets: (n,) label numbers from 0 to labels - 1.
        folds: inner (train, held-out) row numbers of this table.
        report: is told about the progress, a line at a time.
    """
    if len(table.spec.shape) != TENSOR_AXES:
        raise ConfigurationError(f"cnn takes tensors of frames and bands; {table.spec.name} is none")
    device = torch.device(resolve("auto"))
    teachers = [_Teacher(plan.settings, labels, seed, device, report) for seed in plan.seeds]
    networks, scores, held_rows = [], [], []
    for train, held in folds:
        for teacher in teachers:
            networks.append(teacher.teach(table.tensors[train], targets[train]))
            scores.append(raw_scores(networks[-1], table.tensors[held], device))
            held_rows.append(held)
    networks += [teacher.teach(table.tensors, targets) for teacher in teachers]
    temperature = fit_temperature(np.concatenate(scores), targets[np.concatenate(held_rows)])
    return Fitted(
        member=Member(networks, temperature),
        settings=plan.settings,
        held=Held.at(temperature, held_rows, np.concatenate(scores)),
        chosen={"networks": len(networks), "temperature": round(temperature, 4), **card_chosen(device)},
    )


@dataclass(frozen=True)
class _Teacher:
    """Teaches networks of one seed."""

    settings: CnnSettings
    labels: int
    seed: int
    device: torch.device
    report: Callable[[str], None]

    def teach(self, windows: NDArray[np.float32], targets: Integers) -> Network:
        """A network taught on these windows; its scaling, too, is theirs."""
        settings = self.settings
        inputs = torch.from_numpy(windows).to(self.device)
        shares = functional.one_hot(torch.from_numpy(targets).to(self.device), self.labels).float()
        network = self._first(windows.shape[2])
        network.scale_by(inputs)
        encoded = network.encode(inputs)

        def loss(rows: Tensor, draws: torch.Generator) -> Tensor:
            changed, answers = mixed(augmented(encoded[rows], settings, draws), shares[rows], settings, draws)
            return functional.cross_entropy(network(changed), answers, label_smoothing=settings.label_smoothing)

        taught_by = asdict(replace(settings, checkpoints=""))
        teach(
            Lesson(network, len(encoded), loss),
            settings.loop(),
            seed=self.seed,
            checkpoint=checkpoint_file(settings.checkpoints, network, taught_by, self.seed, (windows, targets)),
            on_epoch=lambda epoch: self.report(f"seed {self.seed}, {len(encoded)} windows: {epoch}"),
        )
        return network

    def _first(self, bands: int) -> Network:
        """Before training."""
        with reproducible(self.seed):
            network = Network(
                bands,
                self.labels,
                channels=self.settings.channels,
                pool=self.settings.pool,
                across=self.settings.across,
                dropout=self.settings.dropout,
            )
        return network.to(self.device)
