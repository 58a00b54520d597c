"""The model that NAME@VERSION names."""

from __future__ import annotations

from pathlib import Path

from groovemark.errors import ConfigurationError
from groovemark.ml.models.artifact import MANIFEST_NAME, is_safe_name
from groovemark.ml.models.base import Classifier
from groovemark.ml.models.registry import load


def load_installed(models: Path, full_name: str) -> Classifier:
    """Raises ConfigurationError where it is not in the folder of models, ModelRejected where it cannot be used."""
    name, _, version = full_name.partition("@")
    folder = models / name / version
    if not is_safe_name(name) or not is_safe_name(version) or not (folder / MANIFEST_NAME).is_file():
        raise ConfigurationError(f"there is no model {full_name} in {models}; it must be NAME@VERSION")
    return load(folder)
