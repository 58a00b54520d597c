"""Reading the configuration of one shipped model: model/<name>/train.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar

from groovemark.errors import ConfigurationError
from groovemark.ml.training.search import Ranges

Made = TypeVar("Made")


@dataclass(frozen=True, slots=True)
class ProtocolConfig:
    """How the figures are taken.

    Attributes:
        folds: of a grouped cross-validation; ignored where the data brings published splits.
        inner_folds: of each training side, for settings, early stopping and temperature.
        seeds: one whole run each.
    """

    seeds: tuple[int, ...]
    folds: int = 5
    inner_folds: int = 3


@dataclass(frozen=True, slots=True)
class SearchConfig:
    """How many settings are tried on the inner folds, and in which ranges."""

    trials: int = 0
    ranges: Ranges = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Variant:
    """Other settings, or a search, run through the same protocol so that the card can say what they give."""

    name: str
    settings: Mapping[str, Any] = field(default_factory=dict)
    trials: int = 0


@dataclass(frozen=True, slots=True)
class TrainingConfig:
    """One shipped model.

    Attributes:
        ship: `folds` ships the models of the first seed's folds, averaged; `all` fits once more on all usable rows.
        bag: boosters a member, differing in their seed.
        settings: of the family.
        notes: what the card says about the figures in words: what was aimed at, and what they do not settle.
    """

    name: str
    version: str
    title: str
    family: str
    task: str
    dataset: str
    created: str
    licence: str
    ship: Literal["folds", "all"]
    bag: int
    protocol: ProtocolConfig
    settings: Mapping[str, Any]
    search: SearchConfig = field(default_factory=SearchConfig)
    variants: tuple[Variant, ...] = ()
    notes: str = ""


def read_config(path: Path) -> TrainingConfig:
    """The configuration in a TOML file. Raises ConfigurationError naming the file and the entry."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    try:
        return _parse(content)
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}") from error


def _parse(content: dict[str, Any]) -> TrainingConfig:
    protocol = _make(ProtocolConfig, content.pop("protocol", {}), "protocol.")
    search = _make(SearchConfig, content.pop("search", {}), "search.")
    variants = [_make(Variant, entry, "variants.") for entry in content.pop("variants", [])]
    config = _make(TrainingConfig, {**content, "protocol": protocol, "search": search, "variants": tuple(variants)}, "")
    if config.ship not in ("folds", "all"):
        raise ConfigurationError("ship must be 'folds' or 'all'")
    if not config.protocol.seeds:
        raise ConfigurationError("protocol.seeds must name a seed")
    return config


def _make(kind: type[Made], entries: Mapping[str, Any], prefix: str) -> Made:
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    for name in entries:
        if name not in known:
            raise ConfigurationError(f"there is no entry {prefix}{name}")
    for name, entry in known.items():
        if name not in entries and entry.default is MISSING and entry.default_factory is MISSING:
            raise ConfigurationError(f"lacks the entry {prefix}{name}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()})
