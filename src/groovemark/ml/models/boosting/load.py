"""Reading the files of a boosted model; nothing in them is executed, and nothing is believed unchecked."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelRejected
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.boosting.classifier import Encoding, Member, Rows, to_rows
from groovemark.ml.models.boosting.derive import DERIVATIONS
from groovemark.ml.models.boosting.linear import NumberScores
from groovemark.ml.models.boosting.predictor import make_predictor
from groovemark.ml.models.boosting.tags import TagScores
from groovemark.ml.models.boosting.tree_text import check_trees
from groovemark.ml.models.files import read_arrays, read_json, read_temperature, safe_name
from groovemark.ml.models.mean import MeanClassifier

ENSEMBLE_NAME = "ensemble.json"
VOCABULARY_NAME = "vocabulary.json"
MEMBERS_MAX = 64


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> MeanClassifier[Rows]:
    """The classifier whose files `save` wrote into `folder`; nothing in them is executed or trusted.

    Raises ModelRejected naming the file that cannot be used.
    """
    if spec.features.name not in DERIVATIONS:
        raise ModelRejected(f"boosted models do not know the features {spec.features.name}")
    words = read_json(folder / VOCABULARY_NAME) if (folder / VOCABULARY_NAME).exists() else []
    if not isinstance(words, list) or not all(isinstance(word, str) for word in words):
        raise ModelRejected(f"{VOCABULARY_NAME} must be a list of words")
    content = read_json(folder / ENSEMBLE_NAME)
    entries = content.get("members") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MEMBERS_MAX:
        raise ModelRejected(f"{ENSEMBLE_NAME} must list 1 to {MEMBERS_MAX} members")
    members = [_load_member(folder, entry, spec, len(words)) for entry in entries]
    vocabulary = {word: number for number, word in enumerate(words)}
    return MeanClassifier(spec, members, lambda table: to_rows(table, vocabulary), threads=threads)


def _load_member(folder: Path, entry: object, spec: ModelSpec, words: int) -> Member:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{ENSEMBLE_NAME}: a member must be an object")
    temperature, trees = read_temperature(entry, ENSEMBLE_NAME), entry.get("trees")
    if not isinstance(trees, list) or not 1 <= len(trees) <= MEMBERS_MAX:
        raise ModelRejected(f"{ENSEMBLE_NAME}: a member must list 1 to {MEMBERS_MAX} files of trees")
    encoding = _load_encoding(folder, entry.get("arrays"), spec, words)
    columns = _matrix_width(encoding, spec)
    predictors = []
    for name in trees:
        text = _read_text(folder / safe_name(name, ENSEMBLE_NAME))
        try:
            checked = check_trees(text)
        except ModelRejected as error:
            raise ModelRejected(f"{name}: {error.message}") from error
        if (checked.classes, checked.features) != (len(spec.labels), columns):
            raise ModelRejected(
                f"{name} is for {checked.classes} labels and {checked.features} columns, "
                f"the model has {len(spec.labels)} and {columns}"
            )
        predictors.append(make_predictor(checked, text))
    return Member(encoding=encoding, predictors=tuple(predictors), temperature=temperature)


def _matrix_width(encoding: Encoding, spec: ModelSpec) -> int:
    scores = sum(part is not None for part in (encoding.number_scores, encoding.tag_scores))
    return derived_width(spec) + scores * len(spec.labels)


def derived_width(spec: ModelSpec) -> int:
    """How many columns the derivation of the model's features gives."""
    blank = FeatureTable(spec.features, np.zeros((1, len(spec.features.numeric_names))))
    return int(DERIVATIONS[spec.features.name](blank).shape[1])


def _load_encoding(folder: Path, name: object, spec: ModelSpec, words: int) -> Encoding:
    if name is None:
        return Encoding()
    arrays = read_arrays(folder / safe_name(name, ENSEMBLE_NAME))
    width, labels = derived_width(spec), len(spec.labels)
    shapes = {
        "number_weights": (width, labels),
        "number_bias": (labels,),
        "tag_idf": (words,),
        "tag_weights": (words, labels),
        "tag_bias": (labels,),
    }
    for key, array in arrays.items():
        if shapes.get(key) != array.shape or array.dtype != np.float64 or not np.isfinite(array).all():
            raise ModelRejected(f"{name}: {key} must hold finite numbers of the shape {shapes.get(key)}")
    try:
        numbers, tags = _group(arrays, "number_"), _group(arrays, "tag_")
        return Encoding(
            number_scores=NumberScores(**numbers) if numbers else None,
            tag_scores=TagScores(**tags) if tags else None,
        )
    except TypeError as error:
        raise ModelRejected(f"{name} lacks an array") from error


def _group(arrays: Mapping[str, NDArray[np.float64]], prefix: str) -> dict[str, NDArray[np.float64]]:
    return {key.removeprefix(prefix): array for key, array in arrays.items() if key.startswith(prefix)}


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="ascii")
    except (OSError, UnicodeDecodeError) as error:
        raise ModelRejected(f"{path.name} cannot be read as text") from error
