"""From a stream of audio files to a stream of answers: decode and extract in a sandbox, classify here."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from os import PathLike

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import AudioRejected
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import Classifier

_STOP_CHECK_S = 0.25


@dataclass(frozen=True, slots=True)
class TrackPrediction:
    """The answer for one file.

    Attributes:
        key: the caller's name for the file.
        probabilities: (k,) of the model's labels: the mean over the windows.
        segments: (w, k) of each window.
        features: (w, d) of each window, as the model saw them.
        title: of the file's tag.
        duration_s: of the decoded audio.
    """

    key: str
    probabilities: NDArray[np.float32]
    segments: NDArray[np.float32]
    features: FeatureTable
    title: str | None
    duration_s: float


@dataclass(frozen=True, slots=True)
class TrackFailure:
    """Why one file has no answer; `reason` as in AudioRejected."""

    key: str
    reason: str
    message: str


def predict_audio(
    files: Iterable[tuple[str, str | PathLike[str]]],
    model: Classifier,
    sandbox: Sandbox,
    *,
    on_progress: Callable[[int], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
) -> Iterator[TrackPrediction | TrackFailure]:
    """Classifies files, in the order given, each on its own: a broken one costs its neighbours nothing.

    At most twice as many files as the sandbox has processes are in flight, so memory does not grow with the
    batch.

    Args:
        files: (key, path) pairs, read no faster than they are worked on.
        on_progress: called with the number of files answered so far.
        should_stop: asked between files, and several times a second while waiting for one. After it answered
            true no file is begun; what is finished and next in order is still yielded, the rest is abandoned.

    Raises:
        ModelRejected: the model takes other features than those extracted.
        ConfigurationError: the sandbox cannot start.
    """
    spec = FEATURE_SETS[model.spec.features.name]
    source = iter(files)
    in_flight: deque[tuple[str, Future[FileFeatures]]] = deque()
    executor = ThreadPoolExecutor(sandbox.processes, thread_name_prefix="predict")
    n_done = 0
    try:
        while True:
            while len(in_flight) < 2 * sandbox.processes and not should_stop():
                if (file := next(source, None)) is None:
                    break
                key, path = file
                in_flight.append((key, executor.submit(sandbox.call, path, spec.name)))
            if not in_flight or not _finished(in_flight[0][1], should_stop):
                return
            key, future = in_flight.popleft()
            try:
                features = future.result()
            except AudioRejected as error:
                yield TrackFailure(key, error.reason, error.message)
            else:
                yield _classified(key, features, FeatureTable(spec, features.windows.astype(np.float64)), model)
            n_done += 1
            on_progress(n_done)
    finally:
        executor.shutdown(wait=False, cancel_futures=True)


def _finished(future: Future[FileFeatures], should_stop: Callable[[], bool]) -> bool:
    """Waits until the future is done, or until the caller wants to stop."""
    while not future.done():
        if should_stop():
            return False
        wait([future], timeout=_STOP_CHECK_S)
    return True


def _classified(key: str, features: FileFeatures, table: FeatureTable, model: Classifier) -> TrackPrediction:
    segments = model.run(table)  # (w, k)
    probabilities = segments.mean(axis=0, dtype=np.float64).astype(np.float32)  # (k,)
    return TrackPrediction(key, probabilities, segments, table, features.title, features.duration_s)
