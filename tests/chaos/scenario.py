"""What a scenario is, what it is given, and what it has to say in the end."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from random import Random

from tests.chaos.site import Site


class NotRun(Exception):
    """The scenario cannot be played on this machine; the message says why."""


@dataclass
class Outcome:
    """What was counted.

    `lost`: items or answers that were accepted and are missing. `doubled`: those there more often than once.
    `broken`: what else was not kept, in words.
    """

    trials: int = 0
    lost: int = 0
    doubled: int = 0
    broken: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def expect(self, holds: bool, otherwise: str) -> None:
        if not holds:
            self.broken.append(otherwise)

    def add(self, other: Outcome) -> None:
        self.trials += other.trials
        self.lost += other.lost
        self.doubled += other.doubled
        self.broken += other.broken
        self.notes += other.notes

    @property
    def is_kept(self) -> bool:
        return self.trials > 0 and self.lost == 0 and self.doubled == 0 and not self.broken


@dataclass(frozen=True)
class Act:
    """One performance: where, how large, and with which chance."""

    name: str
    site: Site
    size: Mapping[str, int]
    random: Random
    patience: float = 1.0
    """Limits of time are so many times as long: a test suite shares its machine, and asserts no times."""

    def tell(self, what: str) -> None:
        print(f"{self.name}: {what}", file=sys.stderr, flush=True)


@dataclass(frozen=True)
class Scenario:
    """`full` is what `make chaos` plays, `short` what `make test` does."""

    name: str
    promise: str
    play: Callable[[Act], Outcome]
    full: Mapping[str, int]
    short: Mapping[str, int]
    settings: Mapping[str, str] = field(default_factory=dict)
    """Of the API, where the scenario is about one."""
