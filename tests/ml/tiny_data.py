"""Small invented tables in the shape of the real ones, so that training can be tested without them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import soundfile

from groovemark.ml.features.sets import ECHONEST_155, FMA_42, GTZAN_57
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.training.config import ProtocolConfig, SearchConfig, TrainingConfig, Variant

WORDS = {"folk": "river, hill, song", "metal": "night, blood, iron", "pop": "baby, dance, love"}
TRACKS_PER_LABEL = 24
CONFIG = """
name = "small"
version = "1"
title = "A small model"
family = "boosting"
task = "genre"
dataset = "fma"
created = "2026-01-01"
licence = "MIT"
ship = "all"
bag = 1
protocol = { folds = 2, inner_folds = 2, seeds = [0] }
settings = { rounds_max = 2, leaf_rows = 2 }
"""
"""A train.toml that trains in a second."""


def write_tiny_data(root: Path) -> Path:
    """A data folder of three labels whose features differ plainly; returns `root`."""
    generator = np.random.default_rng(0)
    for folder in ("echonest", "fma", "gtzan/splits/folds3", "gtzan/splits/filtered"):
        (root / folder).mkdir(parents=True)
    echonest = _frame(ECHONEST_155, generator)
    echonest["tags"] = [f"{WORDS[label]}, the, word{row}" for row, label in enumerate(echonest["genre"])]
    echonest.insert(0, "trackID", range(1, len(echonest) + 1))
    echonest["title"] = [f"{WORDS[label].split(',')[0]} number {row}" for row, label in enumerate(echonest["genre"])]
    echonest.to_csv(root / "echonest" / "valid450_labelled.csv", index=False)
    fma = _frame(FMA_42, generator)
    fma.insert(0, "track_id", [100 * (row // 2) + row % 2 for row in range(len(fma))])
    fma.to_csv(root / "fma" / "features_train4000.csv", index=False)
    gtzan = _frame(GTZAN_57, generator).rename(columns={"genre": "label"})
    numbers = [row % TRACKS_PER_LABEL for row in range(len(gtzan))]
    gtzan["filename"] = [f"{label}.{number:05d}.au" for label, number in zip(gtzan["label"], numbers, strict=True)]
    gtzan.to_csv(root / "gtzan" / "features_30_sec.csv", index=False)
    _write_splits(root / "gtzan" / "splits", list(zip(gtzan["label"], numbers, strict=True)))
    return root


def tiny_config(dataset: str, **changes: object) -> TrainingConfig:
    """A configuration that trains in a second."""
    settings = {"learning_rate": 0.3, "rounds_max": 4, "leaves": 3, "leaf_rows": 2, "number_scores": True}
    entries = {
        "name": f"tiny-{dataset}",
        "version": "1",
        "title": "A model of invented data",
        "family": "boosting",
        "task": "genre",
        "dataset": dataset,
        "created": "2026-01-01",
        "licence": "MIT",
        "ship": "all",
        "bag": 2,
        "protocol": ProtocolConfig(seeds=(0,), folds=2, inner_folds=2),
        "settings": settings | {"tag_scores": dataset == "echonest"},
        "search": SearchConfig(trials=2, ranges={"leaves": (2, 4)}),
        "variants": (Variant("without scores", {"number_scores": False}),),
    }
    return TrainingConfig(**{**entries, **changes})  # type: ignore[arg-type]


def _frame(spec: FeatureSpec, generator: np.random.Generator) -> pd.DataFrame:
    labels = np.repeat(sorted(WORDS), TRACKS_PER_LABEL)
    shift = np.repeat(np.arange(len(WORDS)), TRACKS_PER_LABEL)[:, None]
    numbers = np.abs(generator.normal(size=(len(labels), len(spec.numeric_names))) + shift) / 10
    frame = pd.DataFrame(numbers, columns=list(spec.numeric_names))
    for column in spec.columns:
        if column.kind == "integer":
            frame[column.name] = generator.integers(0, 2, len(labels))
    return frame.assign(genre=labels)


def _write_splits(root: Path, tracks: list[tuple[str, int]]) -> None:
    for fold in range(3):
        for part, is_test in (("train", False), ("test", True)):
            lines = [f"./{label}_{n:05d}.wav\t{label}" for label, n in tracks if (n % 3 == fold) is is_test]
            (root / "folds3" / f"f{fold + 1}_{part}.txt").write_text("\n".join(lines) + "\n")
    for remainder, part in enumerate(("train", "valid", "test")):
        lines = [f"{label}/{label}.{n:05d}.wav" for label, n in tracks if n % 3 == remainder]
        (root / "filtered" / f"{part}.txt").write_text("\n".join(lines) + "\n")


def write_tiny_audio(root: Path) -> Path:
    """Beside the tables of `write_tiny_data`: six segments a label, each label with its pitch.

    One track also has a clip of two windows; one segment is of a track that no published list names.
    """
    generator = np.random.default_rng(0)
    tracks = [(label, number, 2.0) for label in WORDS for number in range(6)]
    for label, number, duration_s in [*tracks, ("folk", 99, 2.0), ("folk", 1, 6.5)]:
        times = np.arange(round(duration_s * 22_050)) / 22_050
        tone = np.sin(2 * np.pi * 200 * 3 ** sorted(WORDS).index(label) * (1 + number / 50) * times)
        folder = root / "gtzan" / ("clips" if duration_s > 3 else "segments") / label
        folder.mkdir(parents=True, exist_ok=True)
        samples = 0.3 * tone + 0.02 * generator.normal(size=len(times))
        soundfile.write(folder / f"{label}.{number:05d}.flac", samples, 22_050)
    table = root / "gtzan" / "features_30_sec.csv"
    frame = pd.read_csv(table)
    stray = frame.iloc[:1].assign(filename="folk.00099.au")
    pd.concat([frame, stray]).to_csv(table, index=False)
    return root
