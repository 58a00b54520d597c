"""Loaded models, kept: loading costs more than a small batch."""

from __future__ import annotations

import threading
from pathlib import Path

from groovemark.ml.models import registry
from groovemark.ml.models.base import Classifier


class ModelCache:
    """The models of a folder by name and version; safe to ask from many threads."""

    def __init__(self, root: Path, *, threads: int) -> None:
        self.root = root
        self._threads = threads
        self._models: dict[tuple[str, str], Classifier] = {}
        self._lock = threading.Lock()

    def get(self, name: str, version: str) -> Classifier:
        """Load it at the first call. Raises ModelRejected when its files are missing or damaged."""
        with self._lock:
            model = self._models.get((name, version))
            if model is None:
                model = registry.load(self.root / name / version, threads=self._threads)
                self._models[name, version] = model
            return model

    def close(self) -> None:
        with self._lock:
            for model in self._models.values():
                model.close()
            self._models.clear()
