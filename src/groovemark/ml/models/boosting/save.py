"""Writing the files of a boosted model: ensemble.json, vocabulary.json, and each member's arrays and trees."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.ml.models.boosting.classifier import Encoding
from groovemark.ml.models.boosting.fit import Fitted
from groovemark.ml.models.boosting.load import ENSEMBLE_NAME, VOCABULARY_NAME


def save(folder: Path, fitted: Sequence[Fitted]) -> list[str]:
    """Write the members under one common vocabulary.

    Returns the names of the files written. The same members give the same bytes.
    """
    vocabularies = [entry.encoded.vocabulary for entry in fitted]
    union = {word: number for number, word in enumerate(sorted(set().union(*vocabularies)))}
    names = [ENSEMBLE_NAME]
    entries = []
    for number, (one, vocabulary) in enumerate(zip(fitted, vocabularies, strict=True)):
        member = one.member
        trees = [f"member-{number}-seed-{seed}.txt" for seed in range(len(one.trees))]
        for name, text in zip(trees, one.trees, strict=True):
            (folder / name).write_text(text, encoding="ascii")
        names += trees
        entry: dict[str, Any] = {"temperature": member.temperature, "trees": trees}
        arrays = _arrays(member.encoding, vocabulary, union)
        if arrays:
            entry["arrays"] = f"member-{number}.npz"
            names.append(entry["arrays"])
            with (folder / entry["arrays"]).open("wb") as file:
                np.savez(file, allow_pickle=False, **arrays)
        entries.append(entry)
    _write_json(folder / ENSEMBLE_NAME, {"members": entries})
    if union:
        names.append(VOCABULARY_NAME)
        _write_json(folder / VOCABULARY_NAME, list(union))
    return names


def _arrays(
    encoding: Encoding, vocabulary: Mapping[str, int], union: Mapping[str, int]
) -> dict[str, NDArray[np.float64]]:
    arrays: dict[str, NDArray[np.float64]] = {}
    if encoding.number_scores is not None:
        for field in fields(encoding.number_scores):
            arrays[f"number_{field.name}"] = getattr(encoding.number_scores, field.name)
    if encoding.tag_scores is not None:
        places = np.array([union[word] for word in vocabulary], dtype=np.int64)
        idf = np.zeros(len(union))
        idf[places] = encoding.tag_scores.idf
        weights = np.zeros((len(union), encoding.tag_scores.weights.shape[1]))
        weights[places] = encoding.tag_scores.weights
        arrays |= {"tag_idf": idf, "tag_weights": weights, "tag_bias": encoding.tag_scores.bias}
    return arrays


def _write_json(path: Path, content: object) -> None:
    path.write_text(json.dumps(content, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
