"""Changing some of a family's settings, as a configuration asks."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from groovemark.errors import ConfigurationError
from groovemark.ml.models.files import TEMPERATURES

Settings = TypeVar("Settings", bound=Any)
_KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list"}


def with_changes(family: str, settings: Settings, values: Mapping[str, object]) -> Settings:
    """A copy of a dataclass with some fields changed.

    Raises ConfigurationError for a setting that does not exist, and for a value of another kind than the one it had.
    """
    known = sorted(field.name for field in fields(settings))
    if unknown := sorted(set(values) - set(known)):
        raise ConfigurationError(f"{family} has no setting '{unknown[0]}'; it has {', '.join(known)}")
    return replace(
        settings, **{name: _of_kind(family, name, getattr(settings, name), value) for name, value in values.items()}
    )


def require_temperature(value: object) -> None:
    """Raises ConfigurationError for one that cannot divide scores; 0 asks to find one."""
    if type(value) not in (int, float) or (value and not TEMPERATURES[0] <= value <= TEMPERATURES[1]):  # type: ignore[operator]
        raise ConfigurationError(f"a temperature must be from {TEMPERATURES[0]} to {TEMPERATURES[1]}, or 0 to find it")


def _of_kind(family: str, name: str, before: object, value: object) -> object:
    """A list, as a file has it, is a tuple; a whole number is a number."""
    if isinstance(value, list):
        value = tuple(value)
    if type(before) is float and type(value) is int:
        value = float(value)
    is_nan = isinstance(value, float) and math.isnan(value)
    if type(before) in _KINDS and (type(value) is not type(before) or is_nan):
        raise ConfigurationError(f"the setting {name} of {family} must be {_KINDS[type(before)]}")
    return value
