"""What can be chosen about a linear model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groovemark.errors import ConfigurationError
from groovemark.ml.models.changing import with_changes

METHODS = ("discriminant", "logistic")


@dataclass(frozen=True, slots=True)
class LinearSettings:
    """Settings of one member.

    Attributes:
        method: `discriminant` analysis, whose covariance is shrunk, or penalised `logistic` regression.
        shrinkage: of the covariance towards a multiple of the identity, from 0 to 1.
        inverse_penalty: of the logistic regression.
    """

    method: str = "discriminant"
    shrinkage: float = 0.5
    inverse_penalty: float = 0.03

    def changed(self, values: Mapping[str, object]) -> LinearSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist, or cannot be."""
        chosen = with_changes("linear", self, values)
        if chosen.method not in METHODS:
            raise ConfigurationError(f"the method of linear must be one of {', '.join(METHODS)}")
        return chosen
