"""What can be chosen about a kernel model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from groovemark.errors import ConfigurationError
from groovemark.ml.models.changing import with_changes

WAVES_MAX = 16_384


@dataclass(frozen=True, slots=True)
class KernelSettings:
    """Settings of one member.

    Attributes:
        waves: how many random waves stand for the kernel.
        sharpness: g in exp(-g |x - y|² / d), the likeness of two rows of d standardised numbers.
        inverse_penalty: of the logistic regression.
    """

    waves: int = 1024
    sharpness: float = 1.0
    inverse_penalty: float = 100.0

    def changed(self, values: Mapping[str, object]) -> KernelSettings:
        """A copy with some settings changed. Raises ConfigurationError for one that does not exist, or cannot be."""
        chosen = with_changes("kernel", self, values)
        if not 1 <= chosen.waves <= WAVES_MAX:
            raise ConfigurationError(f"the waves of kernel must be from 1 to {WAVES_MAX}")
        return chosen
