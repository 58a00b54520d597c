"""Loading the imported weights of MusiCNN as a classifier."""

from __future__ import annotations

from pathlib import Path

from groovemark.errors import ModelRejected
from groovemark.ml.encoders.encoder import open_musicnn
from groovemark.ml.encoders.musicnn_tags import TAG_NAMES
from groovemark.ml.models.base import ModelSpec
from groovemark.ml.models.musicnn.classifier import TagClassifier


def load(folder: Path, spec: ModelSpec, *, threads: int = 1) -> TagClassifier:
    """The classifier whose weights were imported into `folder`.

    Raises ModelRejected where the weights or the labels are others, ModelUnavailable without torch.
    """
    if spec.labels != tuple(sorted(TAG_NAMES)) or not spec.is_multi_label:
        raise ModelRejected(f"{spec.full_name} must have the {len(TAG_NAMES)} tags of MusiCNN, and be multi-label")
    return TagClassifier(spec, open_musicnn(folder, threads=threads, for_whom=spec.full_name))
