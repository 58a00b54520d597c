"""From a stream of audio files to a stream of answers: files to features, features to answers."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import AudioRejected
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.base import Classifier, Composite
from groovemark.ml.models.encoded import EncodedClassifier


@dataclass(frozen=True, slots=True)
class TrackPrediction:
    """The answer for one file.

    Attributes:
        key: the caller's name for the file.
        probabilities: (k,) of the model's labels: the mean over the windows; of a model made of others, what it makes
            of the weighted mean of theirs.
        segments: (w, k) of each window; of a model made of others, those that look at these windows count.
        starts_s: (w,) where in the track each of them begins.
        window_s: how long each is, but for the last one, which may be shorter.
        features: (w, d) of each window of the model's own feature set, as the model saw them.
        title: of the file's tag.
        duration_s: of the decoded audio.
    """

    key: str
    probabilities: NDArray[np.float32]
    segments: NDArray[np.float32]
    starts_s: NDArray[np.float64]
    window_s: float
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
    files: Iterable[NamedFile],
    model: Classifier,
    extractor: FileExtractor,
    *,
    at_once: int = 32,
    within_s: float = 1.0,
    on_progress: Callable[[int], None] = lambda _: None,
    should_stop: Callable[[], bool] = lambda: False,
    lane: str = "",
    on_read: Callable[[], None] = lambda: None,
) -> Iterator[list[TrackPrediction | TrackFailure]]:
    """Classifies files, in the order given, each on its own: a broken one costs its neighbours nothing.

    The model, or each of those that it is made of, is called once for all files that are yielded together.
    `FileExtractor.extract` explains the arguments.

    Yields:
        The answers of up to `at_once` files, or of those that came within so many seconds after the first of them.

    Raises:
        ModelRejected: the model takes other features than those extracted.
        ConfigurationError: the sandbox cannot start.
    """
    parts = _parts(model)
    specs = list({part.extracted.name: part.extracted for part in parts}.values())
    for chunk in extractor.extract(
        files,
        specs,
        at_once=at_once,
        within_s=within_s,
        on_progress=on_progress,
        should_stop=should_stop,
        lane=lane,
        on_read=on_read,
    ):
        good = [(key, found) for key, found in chunk if not isinstance(found, AudioRejected)]
        answers = iter(_classified(good, specs, model, parts))
        yield [
            TrackFailure(key, found.reason, found.message) if isinstance(found, AudioRejected) else next(answers)
            for key, found in chunk
        ]


@dataclass(frozen=True, slots=True)
class _Part:
    """A model that is asked, and how much its answer counts."""

    model: Classifier
    weight: float

    @property
    def extracted(self) -> FeatureSpec:
        """What is extracted from audio for it: its features, or what a network makes them of."""
        return self.model.encoder.takes if isinstance(self.model, EncodedClassifier) else self.model.spec.features

    def as_taken(self, windows: FeatureTable) -> FeatureTable:
        """What was extracted, as the model takes it."""
        return self.model.encoder.encode(windows) if isinstance(self.model, EncodedClassifier) else windows


def _parts(model: Classifier) -> list[_Part]:
    """The members of a model made of others, the one that gives it its features first; else the model itself."""
    members = model.members if isinstance(model, Composite) else ((model, 1.0),)
    parts = [_Part(member, weight) for member, weight in members]
    return sorted(parts, key=lambda part: part.model.spec.features.name != model.spec.features.name)


def _classified(
    tracks: Sequence[tuple[str, tuple[FileFeatures, ...]]],
    specs: Sequence[FeatureSpec],
    model: Classifier,
    parts: Sequence[_Part],
) -> list[TrackPrediction]:
    """One call of each part for the windows of all tracks; its answer for a track is the mean over its windows."""
    if not tracks:
        return []
    windows = {
        extracted.name: _Windows.of(extracted, [found[place] for _, found in tracks])
        for place, extracted in enumerate(specs)
    }
    main = windows[parts[0].extracted.name]
    features = parts[0].as_taken(main.table)
    labels = len(model.spec.labels)
    means = np.zeros((len(tracks), labels))
    segments, weight_of_segments = np.zeros((len(features), labels)), 0.0
    for part in parts:
        own = windows[part.extracted.name]
        answers = part.model.run(features if part is parts[0] else part.as_taken(own.table))  # (windows of all, k)
        means += part.weight * np.stack([answers[rows].mean(axis=0, dtype=np.float64) for rows in own.of_tracks])
        if own is main:
            segments += part.weight * answers
            weight_of_segments += part.weight
    segments /= weight_of_segments
    if isinstance(model, Composite):
        means = model.of_means(means)
        if all(windows[part.extracted.name] is main for part in parts):  # else it is another mean than the tracks'
            segments = model.of_means(segments)
    cut = parts[0].extracted.audio
    assert cut is not None  # noqa: S101  it was extracted from audio
    return [
        TrackPrediction(
            key=key,
            probabilities=mean.astype(np.float32),
            segments=segments[rows].astype(np.float32),
            starts_s=cut.offset_s + cut.hop_s * np.arange(rows.stop - rows.start),
            window_s=cut.window_s,
            features=FeatureTable(features.spec, features.numbers[rows]),
            title=found[0].title,
            duration_s=found[0].duration_s,
        )
        for (key, found), mean, rows in zip(tracks, means, main.of_tracks, strict=True)
    ]


@dataclass(frozen=True, slots=True)
class _Windows:
    """Of several tracks, one below the other, and which rows are whose."""

    table: FeatureTable
    of_tracks: Sequence[slice]

    @classmethod
    def of(cls, spec: FeatureSpec, tracks: Sequence[FileFeatures]) -> _Windows:
        ends = np.cumsum([len(found.windows) for found in tracks]).tolist()
        rows = [slice(start, end) for start, end in zip([0, *ends], ends, strict=False)]
        return cls(FeatureTable.of_windows(spec, np.concatenate([found.windows for found in tracks])), rows)
