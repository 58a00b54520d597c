"""Evaluating an installed model on disturbed audio."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from groovemark.cli.evaluate.installed import load_installed
from groovemark.cli.progress import Shown
from groovemark.errors import ConfigurationError
from groovemark.ml.evaluation.robustness import Robustness, count_passes, measure_robustness
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.predict import TrackPrediction, predict_audio

SUFFIXES = (".wav", ".flac", ".mp3", ".ogg")


def find_audio(folder: Path | None, data: Path) -> list[Path]:
    """The audio files under the folder, else under the first of the data's folders that has some."""
    folders = [folder] if folder else [data / "gtzan" / "clips", data / "audio_cc"]
    for place in folders:
        if files := sorted(path for path in place.rglob("*") if path.suffix.lower() in SUFFIXES):
            return files
    places = " or ".join(str(place) for place in folders)
    raise ConfigurationError(f"there are no audio files ({', '.join(SUFFIXES)}) in {places}; name a folder by --audio")


def measure(models: Path, full_name: str, files: Sequence[Path], progress: Shown) -> Robustness:
    """The model's robustness curves over the files; a folder of a label's name labels the files in it."""
    model = load_installed(models, full_name)
    labels = model.spec.labels
    if not model.spec.features.comes_from_audio:
        raise ConfigurationError(f"{full_name} takes tables, not audio: there is nothing to disturb")
    targets = [labels.index(path.parent.name) if path.parent.name in labels else None for path in files]
    progress.begin(f"disturbing {len(files)} files", count_passes())
    with FileExtractor.open("cpu") as extractor:

        def answers(paths: Sequence[Path]) -> list[int | None]:
            named = (NamedFile(path.name, path) for path in paths)
            return [
                int(found.probabilities.argmax()) if isinstance(found, TrackPrediction) else None
                for chunk in predict_audio(named, model, extractor)
                for found in chunk
            ]

        return measure_robustness(files, answers, targets, report=progress.report, advance=progress.advance)
