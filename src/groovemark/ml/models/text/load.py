"""Reading the files of a model of texts."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from groovemark.errors import ModelRejected
from groovemark.ml.encoders.sentences import EncoderIdentity, SentenceEncoder, open_encoder
from groovemark.ml.features.tabular import row_length
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.files import read_arrays, read_json, read_temperature, safe_name
from groovemark.ml.models.text.classifier import Member, TextClassifier
from groovemark.ml.models.text.settings import LAYERS_MAX, RANK_MAX

TEXT_NAME = "text.json"
MEMBERS_MAX = 64
TEXTS_MAX = 8
WIDTH_MAX = 1024
_SHA256 = re.compile(r"[0-9a-f]{64}")
_ARRAYS_BYTES_MAX = 16 << 20


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> TextClassifier:
    """The classifier whose files `save` wrote into `folder`.

    Raises:
        ModelUnavailable: the encoder that it stands on, or a library, is not here.
        ModelRejected: naming the file that cannot be used.
    """
    content = read_json(folder / TEXT_NAME)
    entries = content.get("members") if isinstance(content, dict) else None
    if not isinstance(entries, list) or not 1 <= len(entries) <= MEMBERS_MAX:
        raise ModelRejected(f"{TEXT_NAME} must list 1 to {MEMBERS_MAX} members")
    texts = content.get("texts")
    known = {"title", *spec.features.text_names}
    if not isinstance(texts, list) or not 1 <= len(texts) <= TEXTS_MAX or not all(text in known for text in texts):
        raise ModelRejected(f"{TEXT_NAME}: texts must be of {', '.join(sorted(known))}")
    if type(content.get("numbers")) is not bool:
        raise ModelRejected(f"{TEXT_NAME}: numbers must be true or false")
    encoder, width = _encoder(content.get("encoder"), spec)
    members = [_load_member(folder, entry, spec, content, encoder, width) for entry in entries]
    return TextClassifier(spec, members, threads=threads)


def _encoder(entry: object, spec: ModelSpec) -> tuple[SentenceEncoder, int]:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{TEXT_NAME}: encoder must be an object")
    source, hashes = entry.get("source"), [entry.get(f"{name}_sha256") for name in ("weights", "tokenizer")]
    if not isinstance(source, str) or not all(isinstance(one, str) and _SHA256.fullmatch(one) for one in hashes):
        raise ModelRejected(f"{TEXT_NAME}: encoder must have a source and the sha256 of its weights and tokenizer")
    width = _whole(entry, "width", 1, WIDTH_MAX)
    return open_encoder(EncoderIdentity(source, *map(str, hashes)), for_whom=spec.full_name), width


def _load_member(
    folder: Path, entry: object, spec: ModelSpec, content: Mapping[str, Any], encoder: SentenceEncoder, width: int
) -> Member:
    if not isinstance(entry, dict):
        raise ModelRejected(f"{TEXT_NAME}: a member must be an object")
    temperature = read_temperature(entry, TEXT_NAME)
    name = safe_name(entry.get("arrays"), TEXT_NAME)
    arrays = read_arrays(folder / name, bytes_max=_ARRAYS_BYTES_MAX)
    texts, numbers = tuple(content["texts"]), content["numbers"]
    inputs, labels = width * len(texts) + (row_length(spec.features) if numbers else 0), len(spec.labels)
    for key, shape in {"weights": (inputs, labels), "bias": (labels,)}.items():
        if key not in arrays or arrays[key].shape != shape or arrays[key].dtype != np.float64:
            raise ModelRejected(f"{name}: {key} must hold float64 numbers of the shape {shape}")
    if not all(np.isfinite(array).all() for array in arrays.values()):
        raise ModelRejected(f"{name} holds something that is not a finite number")
    layers, rank = _whole(content, "tuned_layers", 0, LAYERS_MAX), _whole(content, "rank", 1, RANK_MAX)
    taught = {key: array for key, array in arrays.items() if key not in ("weights", "bias")}
    if bool(taught) != bool(layers) or any(array.dtype != np.float32 for array in taught.values()):
        raise ModelRejected(f"{name} must hold weights, bias and the float32 matrices of {layers} tuned layers")
    return Member(encoder, texts, numbers, arrays["weights"], arrays["bias"], temperature, layers, rank, taught)


def _whole(entries: Mapping[str, Any], name: str, least: int, most: int) -> int:
    value = entries.get(name)
    if type(value) is not int or not least <= value <= most:
        raise ModelRejected(f"{TEXT_NAME}: {name} must be a whole number from {least} to {most}")
    return value
