"""Changing some of a family's settings, as a configuration asks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, replace
from typing import Any, TypeVar

from groovemark.errors import ConfigurationError

Settings = TypeVar("Settings", bound=Any)


def with_changes(family: str, settings: Settings, values: Mapping[str, object]) -> Settings:
    """A copy of a dataclass with some fields changed, in which a list, as a file has it, becomes a tuple.

    Raises ConfigurationError for a setting that does not exist.
    """
    known = sorted(field.name for field in fields(settings))
    if unknown := sorted(set(values) - set(known)):
        raise ConfigurationError(f"{family} has no setting '{unknown[0]}'; it has {', '.join(known)}")
    given = {name: tuple(value) if isinstance(value, list) else value for name, value in values.items()}
    return replace(settings, **given)
