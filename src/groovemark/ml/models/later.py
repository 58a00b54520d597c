"""Classifiers whose library takes seconds and hundreds of megabytes: loaded with the first rows, if any come."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from importlib.util import find_spec

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import ModelUnavailable
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import Classifier, ModelSpec, require_features


class LaterClassifier:
    """A `Classifier` that is there when it is asked; safe to ask from many threads."""

    def __init__(self, spec: ModelSpec, load: Callable[[], Classifier]) -> None:
        self._spec = spec
        self._load: Callable[[], Classifier] | None = load
        self._model: Classifier | None = None
        self._lock = threading.Lock()

    @property
    def spec(self) -> ModelSpec:
        return self._spec

    def run(self, batch: FeatureTable, /) -> NDArray[np.float32]:
        """As the model answers. Raises ModelRejected as its loading does."""
        require_features(self._spec, batch)
        return self.loaded().run(batch)

    def loaded(self) -> Classifier:
        """The model itself."""
        with self._lock:
            if self._load is None:
                raise RuntimeError(f"{self._spec.full_name} is closed")
            self._model = self._model or self._load()
            return self._model

    def close(self) -> None:
        """Forget the model."""
        with self._lock:
            if self._model is not None:
                self._model.close()
            self._load = self._model = None


def require_libraries(spec: ModelSpec, names: Sequence[str], extra: str) -> None:
    """Raises ModelUnavailable for the first that is not installed; none of them is imported."""
    for name in names:
        if find_spec(name) is None:
            raise ModelUnavailable(f"{spec.full_name} needs {name}: pip install '.[{extra}]'")
