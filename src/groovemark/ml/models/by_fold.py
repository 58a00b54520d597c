"""Teaching a network on every row for as long as an inner fold shows to be right."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ConfigurationError
from groovemark.ml.models.changing import require_temperature
from groovemark.ml.training.loop import LoopSettings

Integers = NDArray[np.int64]
Network = TypeVar("Network")


class Settings(Protocol):
    """What a family's settings say about it.

    Attributes:
        frozen: so many of the first blocks stay as they are.
        epochs, batch_size, learning_rate, weight_decay, warm_up: as in `LoopSettings`.
        patience: as there, and 0 where all epochs are gone through.
        temperature: 0 where it is to be found.
    """

    @property
    def frozen(self) -> int: ...
    @property
    def epochs(self) -> int: ...
    @property
    def batch_size(self) -> int: ...
    @property
    def learning_rate(self) -> float: ...
    @property
    def weight_decay(self) -> float: ...
    @property
    def warm_up(self) -> float: ...
    @property
    def patience(self) -> int: ...
    @property
    def temperature(self) -> float: ...


def loop_settings(settings: Settings, stop_after: int | None) -> LoopSettings:
    """Of the training loop, which may end earlier on the same way."""
    return LoopSettings(
        epochs=settings.epochs,
        stop_after=stop_after,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        weight_decay=settings.weight_decay,
        warm_up=settings.warm_up,
        patience=settings.patience or settings.epochs,
    )


def require_teachable(settings: Settings) -> None:
    """Raises ConfigurationError for settings by which nothing can be taught."""
    for name, least in (("epochs", 1), ("batch_size", 1), ("patience", 0), ("frozen", 0)):
        if getattr(settings, name) < least:
            raise ConfigurationError(f"{name} must be {least} or more")
    if not 0 < settings.learning_rate < math.inf:
        raise ConfigurationError("learning_rate must be above 0")
    require_temperature(settings.temperature)


def require_blocks(blocks: int, frozen: int) -> None:
    """Raises ConfigurationError where more are to stay as they are than there are."""
    if frozen > blocks:
        raise ConfigurationError(f"frozen must be at most {blocks}: the network has no more blocks")


@dataclass(frozen=True)
class Taught(Generic[Network]):
    """A network that was taught on every row.

    Attributes:
        epochs: after which it ended.
        held: (m,) rows that were held out of another one; none where no fold was asked.
        scores: (m, k) raw scores of that one for them.
    """

    network: Network
    epochs: int
    held: Integers
    scores: NDArray[np.float64]


def teach_by_fold(
    rows: int,
    labels: int,
    folds: Sequence[tuple[Integers, Integers]],
    settings: Settings,
    *,
    teach: Callable[[Integers, Integers | None, int | None], tuple[Network, int]],
    score: Callable[[Network, Integers], NDArray[np.float64]],
) -> Taught[Network]:
    """Teach a network on every row, after another one on the inner fold with the most rows to learn from, as the first
    has still more.

    The held-out side gives the scores for a temperature and, with patience, the number of epochs; then the learning
    rate goes the same way: squeezed into fewer epochs it would be one that nobody tried. One fold is enough, and none
    where neither is asked for: networks cost the most to teach.

    Args:
        folds: inner (train, held-out) row numbers.
        teach: takes the rows to learn from, those held out, and after how many epochs to stop; gives the network, and
            after how many it answers.
        score: (m, k) raw scores of rows.
    """
    last = settings.epochs
    held, scores = np.empty(0, np.int64), np.empty((0, labels))
    if settings.patience or not settings.temperature:
        train, held = max(folds, key=lambda fold: len(fold[0]))
        first, last = teach(train, held, None)
        scores = score(first, held)
    network, _ = teach(np.arange(rows), None, last)
    return Taught(network, last, held, scores)
