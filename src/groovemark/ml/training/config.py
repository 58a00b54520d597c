"""Reading the configuration of one shipped model: model/<name>/train.toml."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from groovemark.errors import ConfigurationError
from groovemark.ml.training.search import Objective, Ranges
from groovemark.ml.training.stability import StabilityClaim

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
    """How many settings are tried on the inner folds, in which ranges, and by what the best of them is told.

    Attributes:
        trials: of an ensemble the most that any member tries, of its own; without an entry, as many as each wants.
    """

    trials: int = 0
    ranges: Ranges = field(default_factory=dict)
    objective: Objective = "log_loss"

    def __post_init__(self) -> None:
        if self.objective not in get_args(Objective):
            known = " or ".join(get_args(Objective))
            raise ConfigurationError(f"search.objective must be {known}, not '{self.objective}'")


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
        base: name@version of a model in the same folder of models from whose weights training starts, for families
            that can; becomes the setting of that name, a folder.
        features: what is extracted, where the dataset is audio; empty where it is a table.
        ship: `folds` ships the models of the first seed's folds, averaged; `all` fits once more on all usable rows.
        bag: boosters a member, differing in their seed.
        settings: of the family.
        members: of an ensemble: the configurations of the models that it is made of, named in the file by the folders
            beside its own; it then ships `members`, and has no dataset but theirs.
        stability: what the card claims about disturbed audio; `groovemark evaluate --robustness` fails where it is not
            so.
        notes: what the card says about the figures in words: what was aimed at, and what they do not settle.
    """

    name: str
    version: str
    title: str
    family: str
    task: str
    created: str
    licence: str
    ship: Literal["folds", "all", "members"]
    bag: int
    protocol: ProtocolConfig
    settings: Mapping[str, Any]
    dataset: str = ""
    members: tuple[TrainingConfig, ...] = ()
    search: SearchConfig = field(default_factory=SearchConfig)
    variants: tuple[Variant, ...] = ()
    notes: str = ""
    features: str = ""
    stability: tuple[StabilityClaim, ...] = ()
    base: str = ""


def read_config(path: Path) -> TrainingConfig:
    """The configuration in a TOML file. Raises ConfigurationError naming the file and the entry."""
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigurationError(f"{path} cannot be read: {error.strerror}") from error
    except ValueError as error:
        raise ConfigurationError(f"{path} is not TOML: {error}") from error
    try:
        content["members"] = [_read_member(path, name) for name in content.get("members", ())]
        return _parse(content, base=_find_base(path.parent.parent, content))
    except ConfigurationError as error:
        raise ConfigurationError(f"{path}: {error.message}") from error


def _read_member(path: Path, name: object) -> TrainingConfig:
    member = read_config(path.parent.parent / str(name) / path.name)
    if member.members:
        raise ConfigurationError(f"the member {name} is an ensemble itself")
    return member


def _find_base(models: Path, content: Mapping[str, Any]) -> dict[str, str]:
    """As the setting that the entry `base` becomes, where there is one."""
    if "base" in content.get("settings", ()):
        raise ConfigurationError("base is an entry beside the family, and none of [settings]")
    if not content.get("base"):
        return {}
    name, _, version = str(content["base"]).partition("@")
    folder = models / name / version
    if not name or not version or not folder.is_dir():
        raise ConfigurationError(f"base must be the name@version of a model in {models}, not '{content['base']}'")
    return {"base": str(folder)}


def _parse(content: dict[str, Any], base: Mapping[str, str]) -> TrainingConfig:
    if base:
        content["settings"] = {**content.get("settings", {}), **base}
    protocol = _make(ProtocolConfig, content.pop("protocol", {}), "protocol.")
    search = _make(SearchConfig, {**_members_search(content["members"]), **content.pop("search", {})}, "search.")
    variants = [_make(Variant, entry, "variants.") for entry in content.pop("variants", [])]
    content["stability"] = [_make(StabilityClaim, entry, "stability.") for entry in content.get("stability", [])]
    config = _make(TrainingConfig, {**content, "protocol": protocol, "search": search, "variants": tuple(variants)}, "")
    if bool(config.members) == bool(config.dataset):
        raise ConfigurationError("lacks the entry dataset; an ensemble has members instead")
    if config.ship not in (("members",) if config.members else ("folds", "all")):
        raise ConfigurationError("ship must be 'folds' or 'all', of an ensemble 'members'")
    if config.bag < 1:
        raise ConfigurationError("bag must be 1 or more")
    if not config.protocol.seeds:
        raise ConfigurationError("protocol.seeds must name a seed")
    return config


def _members_search(members: Sequence[TrainingConfig]) -> dict[str, int]:
    """The members that ship were searched for: figures of members that were not would be of other models."""
    return {"trials": max(member.search.trials for member in members)} if members else {}


def _make(kind: type[Made], entries: Mapping[str, Any], prefix: str) -> Made:
    known = {entry.name: entry for entry in fields(kind)}  # type: ignore[arg-type]
    for name in entries:
        if name not in known:
            raise ConfigurationError(f"there is no entry {prefix}{name}")
    for name, entry in known.items():
        if name not in entries and entry.default is MISSING and entry.default_factory is MISSING:
            raise ConfigurationError(f"lacks the entry {prefix}{name}")
    return kind(**{name: tuple(value) if isinstance(value, list) else value for name, value in entries.items()})
