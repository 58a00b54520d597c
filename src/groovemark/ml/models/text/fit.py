"""Fitting a model of texts: settings and temperature on inner folds, then every row."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.encoders.sentences import SentenceEncoder, find_encoder
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.held import Held
from groovemark.ml.models.scores import Floats
from groovemark.ml.models.text.classifier import Member, to_inputs
from groovemark.ml.models.text.settings import TextSettings
from groovemark.ml.training.calibration import fit_temperature
from groovemark.ml.training.linear import calibrated_loss, fit_logistic
from groovemark.ml.training.search import Ranges, search

Integers = NDArray[np.int64]
Folds = Sequence[tuple[Integers, Integers]]
SEARCHABLE = ("inverse_penalty",)
_TINY = 1e-9


@dataclass(frozen=True, slots=True)
class Plan:
    """How a member is made.

    Attributes:
        settings: tried first; the search may replace those that `ranges` names.
        trials: how many settings the search tries on the inner folds; 0 keeps `settings`.
        seed: of the fine-tuning; a head alone has one solution.
    """

    settings: TextSettings
    ranges: Ranges
    trials: int
    seed: int


@dataclass(frozen=True)
class Fitted:
    """A member with what was chosen for it."""

    member: Member
    settings: TextSettings
    held: Held
    chosen: Mapping[str, Any]

    def probabilities(self, table: FeatureTable) -> Floats:
        """(n, k) for rows the member has not seen."""
        known = None if self.member.tuned_layers else _remembering(self.settings.encoder).encode
        return self.member.probabilities(table, known)


def make_plan(*, settings: Mapping[str, Any], ranges: Ranges, trials: int, seeds: tuple[int, ...]) -> Plan:
    """A plan with the default settings changed. Raises ConfigurationError for settings that cannot be searched."""
    for name in ranges:
        if name not in SEARCHABLE:
            raise ConfigurationError(f"'{name}' of a model of texts cannot be searched")
    return Plan(TextSettings().changed(settings), ranges, trials, seeds[0])


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

    The search looks at the head alone; with its settings the encoder is then tuned, anew on every inner fold.

    Args:
        targets: (n,) label numbers from 0 to labels - 1.
        folds: inner (train, held-out) row numbers of this table; nothing else chooses settings and temperature. Rows
            held out whose label an inner training side lacks say nothing about either, and are left out.
        report: is told about the progress, a line at a time.
    """
    if missing := [name for name in plan.settings.texts if name not in table.texts]:
        raise ConfigurationError(f"the rows of {table.spec.name} have no text '{missing[0]}'")
    inner = [(train, held[np.isin(targets[held], targets[train])]) for train, held in folds]
    truth = np.concatenate([targets[held] for _, held in inner])
    inputs = _inputs(table, plan.settings)

    def loss(values: Mapping[str, Any]) -> float:
        settings = plan.settings.changed(values)
        scores = [_head(inputs[train], targets[train], labels, settings).scores(inputs[held]) for train, held in inner]
        return calibrated_loss(np.concatenate(scores), truth)

    values = search(loss, plan.ranges, asdict(plan.settings), trials=plan.trials, report=report)
    settings = plan.settings.changed(values)
    if settings.checkpoints and not settings.tuned_layers:
        report("no checkpoint is kept of a head alone: without tuned_layers nothing is taught in epochs")

    def make(rows: Integers) -> Member:
        head = _head(inputs[rows], targets[rows], labels, settings)
        if not settings.tuned_layers:
            return head
        from groovemark.ml.models.text.tuning import tune

        report(f"tuning the encoder on {len(rows)} rows")
        return tune(head, table.take(rows), targets[rows], settings, plan.seed, report=report)

    def held_scores(train: Integers, held: Integers) -> Floats:
        member = make(train)
        if not settings.tuned_layers:
            return member.scores(inputs[held])
        return member.scores(to_inputs(table.take(held), member.texts, member.encode, numbers=member.numbers))

    scores = np.concatenate([held_scores(train, held) for train, held in inner])
    temperature = fit_temperature(scores, truth)
    member = replace(make(np.arange(len(table))), temperature=temperature)
    return Fitted(
        member=member,
        settings=settings,
        held=Held.at(temperature, [held for _, held in inner], scores),
        chosen={**values, "temperature": round(temperature, 4)},
    )


class _Remembering:
    """An encoder that keeps what it has answered: the same texts come in every round of a protocol."""

    def __init__(self, encoder: SentenceEncoder) -> None:
        self.encoder = encoder
        self._known: dict[str, NDArray[np.float32]] = {}

    def encode(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """(n, width) by the encoder as it came."""
        new = [text for text in dict.fromkeys(texts) if text not in self._known]
        self._known |= dict(zip(new, self.encoder.encode(new), strict=True))
        return np.stack([self._known[text] for text in texts])


@cache
def _remembering(source: str) -> _Remembering:
    return _Remembering(find_encoder(source, for_whom="training on texts", may_download=True))


def _inputs(table: FeatureTable, settings: TextSettings) -> Floats:
    return to_inputs(table, settings.texts, _remembering(settings.encoder).encode, numbers=settings.numbers)


def _head(inputs: Floats, targets: Integers, labels: int, settings: TextSettings) -> Member:
    """Logistic regression of standardised inputs, in which numbers and every text have the same part whatever their
    width."""
    encoder = _remembering(settings.encoder).encoder
    texts = encoder.width * len(settings.texts)
    widths = [inputs.shape[1] - texts, *(encoder.width for _ in settings.texts)]
    scale = np.concatenate([np.full(width, width**-0.5) for width in widths if width])
    mean, deviation = inputs.mean(axis=0), inputs.std(axis=0) + _TINY
    standard = (inputs - mean) / deviation * scale
    weights, bias = fit_logistic(standard, targets, labels, inverse_penalty=settings.inverse_penalty)
    weights *= (scale / deviation)[:, None]
    return Member(
        encoder=encoder,
        texts=settings.texts,
        numbers=settings.numbers,
        weights=weights,
        bias=bias - mean @ weights,
        temperature=1.0,
        tuned_layers=0,
        rank=settings.rank,
        taught={},
    )
