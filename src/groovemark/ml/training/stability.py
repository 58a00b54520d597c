"""What a configuration claims about disturbed audio, and whether it is so."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from groovemark.errors import ConfigurationError
from groovemark.ml.evaluation.robustness import LEVELS, Robustness


@dataclass(frozen=True, slots=True)
class StabilityClaim:
    """At one level of one disturbance, at least this share of the files keeps its most probable label."""

    disturbance: str
    level: float
    agreement: float

    def __post_init__(self) -> None:
        if self.level not in LEVELS.get(self.disturbance, ()):
            known = "; ".join(
                f"{name}: {', '.join(f'{level:g}' for level in levels)}" for name, levels in LEVELS.items()
            )
            raise ConfigurationError(f"stability: there is no {self.disturbance} {self.level}; there are {known}")
        if not isinstance(self.agreement, int | float) or not 0 < self.agreement <= 1:
            raise ConfigurationError("stability: agreement must be above 0 and at most 1")

    def __str__(self) -> str:
        what = "noise of deviation" if self.disturbance == "noise" else "shifts of at most (seconds)"
        return f"{what} {self.level:g}: at least {self.agreement:.0%} of the files keep their most probable label"


@dataclass(frozen=True, slots=True)
class CheckedClaim:
    """A claim beside what was measured."""

    claim: StabilityClaim
    agreement: float
    holds: bool


def check_claims(claims: Sequence[StabilityClaim], measured: Robustness) -> tuple[CheckedClaim, ...]:
    """Every claim, with the agreement at its level."""
    found = {(level.disturbance, level.level): level.agreement for level in measured.levels}
    checked = [(claim, found[claim.disturbance, claim.level]) for claim in claims]
    return tuple(CheckedClaim(claim, agreement, agreement >= claim.agreement) for claim, agreement in checked)
