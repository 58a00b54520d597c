"""A trained model on disk: a folder with manifest.json, the weights and a card; written whole, read with distrust."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import stat
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from groovemark.errors import ModelRejected, shorten

MANIFEST_NAME = "manifest.json"
FORMAT = 1
MANIFEST_BYTES_MAX = 1 << 20
_SAFE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class StoredFile:
    """What a file of the artifact must be, to the byte."""

    sha256: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Manifest:
    """Everything about a model version that can be known without loading it.

    Attributes:
        features: name of the FeatureSpec; features_sha256 is its identity, checked before the model is loaded.
        metrics: the figures of the protocol, by name; the card explains them.
        is_multi_label: whether each label has a probability of its own; otherwise they sum to 1.
        other_features: sets that a track's answer needs besides; a model that has some answers for audio alone.
        created: date of the version (from its configuration, so that training twice gives the same bytes).
        command: reproduces the artifact.
    """

    name: str
    version: str
    title: str
    family: str
    task: str
    labels: tuple[str, ...]
    features: str
    features_sha256: str
    metrics: Mapping[str, float]
    licence: str
    training_data: str
    created: str
    command: str
    files: Mapping[str, StoredFile] = field(default_factory=dict)
    is_multi_label: bool = False
    other_features: tuple[str, ...] = ()

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"

    @property
    def size_bytes(self) -> int:
        return sum(file.size_bytes for file in self.files.values())

    def as_dict(self) -> dict[str, Any]:
        """As JSON holds it."""
        entries = {"format": FORMAT, **asdict(self), "labels": list(self.labels)}
        for name in ("is_multi_label", "other_features"):
            if not entries[name]:  # as manifests were before these were known
                del entries[name]
        return entries


def is_safe_name(name: str) -> bool:
    """Whether a name may become a file or folder of an artifact: no separators, no hidden files, no surprises."""
    return _SAFE_NAME.fullmatch(name) is not None and ".." not in name


def describe_files(folder: Path, names: Iterable[str]) -> dict[str, StoredFile]:
    """Size and hash of an artifact's files, for its manifest."""
    return {name: _describe(folder / name) for name in sorted(names)}


@contextmanager
def replacing(folder: Path) -> Iterator[Path]:
    """An empty folder beside `folder`, which takes its place at the end; where something fails, all is as it was."""
    building = folder.parent / f".{folder.name}.building"
    shutil.rmtree(building, ignore_errors=True)
    building.mkdir(parents=True)
    try:
        yield building
        shutil.rmtree(folder, ignore_errors=True)
        building.rename(folder)
    finally:
        shutil.rmtree(building, ignore_errors=True)


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Write manifest.json; the last step of making an artifact."""
    text = json.dumps(manifest.as_dict(), indent=2, ensure_ascii=False, allow_nan=False)
    (folder / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def read_manifest(folder: Path) -> Manifest:
    """The manifest of the model in `folder`.

    Raises ModelRejected when there is none, or it cannot be read, or it contradicts itself.
    """
    path = folder / MANIFEST_NAME
    try:
        if path.stat().st_size > MANIFEST_BYTES_MAX:
            raise ModelRejected(f"{path} is larger than {MANIFEST_BYTES_MAX} bytes; it is no manifest")
        content = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ModelRejected(f"{path} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError) as error:
        raise ModelRejected(f"{path} is not JSON") from error
    try:
        return _parse(content)
    except ModelRejected as error:
        raise ModelRejected(f"{path}: {error.message}") from error


def verify_files(folder: Path, manifest: Manifest) -> None:
    """Check every file of the manifest for presence, kind, size and hash.

    Raises ModelRejected naming the first file that differs.
    """
    for name, expected in manifest.files.items():
        path = folder / name
        try:
            status = path.lstat()
        except OSError as error:
            raise ModelRejected(f"{manifest.full_name} lacks its file {name}; install the model again") from error
        if not stat.S_ISREG(status.st_mode):
            raise ModelRejected(f"{name} of {manifest.full_name} is not a plain file")
        if status.st_size != expected.size_bytes:
            raise ModelRejected(
                f"{name} of {manifest.full_name} has {status.st_size} bytes, its manifest says {expected.size_bytes}"
            )
        if _describe(path) != expected:
            raise ModelRejected(f"{name} of {manifest.full_name} has changed: its hash is not the manifest's")


def _describe(path: Path) -> StoredFile:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
    return StoredFile(sha256=digest, size_bytes=path.stat().st_size)


def _parse(content: object) -> Manifest:
    if not isinstance(content, dict):
        raise ModelRejected("must be a JSON object")
    if content.get("format") != FORMAT:
        raise ModelRejected(f"format is {shorten(str(content.get('format')))}, this version reads {FORMAT}")
    texts = {name: _text(content, name) for name in _TEXT_FIELDS}
    for name in ("name", "version"):
        if not is_safe_name(texts[name]):
            raise ModelRejected(f"{name} '{shorten(texts[name])}' may hold only letters, digits, '.', '_' and '-'")
    if not _SHA256.fullmatch(texts["features_sha256"]):
        raise ModelRejected("features_sha256 must be 64 hexadecimal digits")
    return Manifest(
        **texts,
        labels=_labels(content.get("labels")),
        metrics=_metrics(content.get("metrics")),
        files=_files(content.get("files")),
        is_multi_label=_flag(content.get("is_multi_label", False)),
        other_features=_names(content.get("other_features", [])),
    )


_TEXT_FIELDS = (
    "name",
    "version",
    "title",
    "family",
    "task",
    "features",
    "features_sha256",
    "licence",
    "training_data",
    "created",
    "command",
)


def _text(content: Mapping[str, object], name: str) -> str:
    value = content.get(name)
    if not isinstance(value, str) or not value:
        raise ModelRejected(f"'{name}' must be a text")
    return value


def _labels(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(label, str) and label for label in value):
        raise ModelRejected("'labels' must be a list of texts")
    if len(value) < 2 or value != sorted(set(value)):
        raise ModelRejected("'labels' must be two or more different labels in sorted order")
    return tuple(value)


def _flag(value: object) -> bool:
    if not isinstance(value, bool):
        raise ModelRejected("'is_multi_label' must be true or false")
    return value


def _names(value: object) -> tuple[str, ...]:
    if not isinstance(value, list) or not all(isinstance(name, str) and name for name in value):
        raise ModelRejected("'other_features' must be a list of texts")
    return tuple(value)


def _metrics(value: object) -> dict[str, float]:
    if not isinstance(value, dict) or not all(
        isinstance(number, int | float) and not isinstance(number, bool) for number in value.values()
    ):
        raise ModelRejected("'metrics' must map names to numbers")
    return {name: float(number) for name, number in value.items()}


def _files(value: object) -> dict[str, StoredFile]:
    if not isinstance(value, dict):
        raise ModelRejected("'files' must map file names to their sha256 and size_bytes")
    files = {}
    for name, entry in value.items():
        if not is_safe_name(name) or name == MANIFEST_NAME:
            raise ModelRejected(f"the file name '{shorten(name)}' is not safe")
        digest, size = (entry.get("sha256"), entry.get("size_bytes")) if isinstance(entry, dict) else (None, None)
        if not isinstance(digest, str) or not _SHA256.fullmatch(digest):
            raise ModelRejected(f"the sha256 of {name} must be 64 hexadecimal digits")
        if not isinstance(size, int) or isinstance(size, bool) or size < 0:
            raise ModelRejected(f"the size_bytes of {name} must be a whole number")
        files[name] = StoredFile(sha256=digest, size_bytes=size)
    return files
