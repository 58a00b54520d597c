"""How many clips, or rows of a table, each model of MODEL_PATH answers a second and core; for the table of all models.

OMP_NUM_THREADS=1 .venv/bin/python bench/models.py [--clips 24] [--rounds 3] [--write] [MODEL …]

A clip is a stereo mp3 of half a minute, from the file to the answer, in one process for audio and one thread for the
model; what counts is the processor time of both. Where torch finds a CUDA device, the time on the wall is taken there
as well. --write keeps the figures in model/speed.json, for the models that were measured, and writes model/README.md.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from tempfile import TemporaryDirectory

import pandas as pd
import psutil
import torch

import clips
import measure
from groovemark.cli.demo.rows import write_echonest_csv
from groovemark.config import Settings
from groovemark.errors import ModelUnavailable
from groovemark.ml.datasets.table import to_table
from groovemark.ml.features.device import Choice
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models import registry
from groovemark.ml.models.base import Classifier
from groovemark.ml.models.overview import OVERVIEW_NAME, Speed, describe, read_speeds, write_speeds
from groovemark.ml.predict import TrackPrediction, predict_audio


def cpu_s() -> float:
    """Of this process and its children, as far as they live."""
    own = psutil.Process()
    return sum(sum(process.cpu_times()[:2]) for process in (own, *own.children(recursive=True)))


def clips_a_second(model: Classifier, files: list[NamedFile], rounds: int, device: Choice) -> float:
    """By processor time on the processor, by the clock on the wall on a graphics card."""
    clock: Callable[[], float] = cpu_s if device == "cpu" else time.perf_counter

    def answer_all() -> None:
        for chunk in predict_audio(files, model, extractor):
            assert all(isinstance(answer, TrackPrediction) for answer in chunk)

    with FileExtractor.open(device, processes=1 if device == "cpu" else 16) as extractor:
        extractor.warm()
        answer_all()
        seconds = []
        for _ in range(rounds):
            begin = clock()
            answer_all()
            seconds.append(clock() - begin)
    return len(files) / median(seconds)


def rows_a_second(model: Classifier, rounds: int) -> float:
    """Of invented rows, no two alike: few where the model reads texts slowly, many where it does not."""
    found = 0.0
    for count in (200, 20_000):
        table = invented_table(model, count)
        model.run(table)
        found = count / measure.take_turns({"model": lambda: model.run(table)}, rounds=rounds)["model"].median_cpu_s  # noqa: B023
        if found < 1_000:
            break
    return found


def invented_table(model: Classifier, rows: int) -> FeatureTable:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "rows.csv"
        write_echonest_csv(path, rows, seed=rows)
        return to_table(pd.read_csv(path, keep_default_na=False), model.spec.features)


def measure_model(model: Classifier, files: list[NamedFile], rounds: int) -> Speed:
    if not model.spec.features.comes_from_audio:
        return Speed(rows=rows_a_second(model, rounds), machine=measure.machine())
    gpu = torch.cuda.is_available()
    return Speed(
        clips=clips_a_second(model, files, rounds, "cpu"),
        machine=measure.machine(),
        gpu_clips=clips_a_second(model, files, rounds, "cuda") if gpu else None,
        gpu=torch.cuda.get_device_name() if gpu else "",
    )


def main(names: list[str], n_clips: int, rounds: int, *, write: bool) -> None:
    print(measure.machine())
    torch.set_num_threads(1)
    root = Settings().model_path
    speeds = read_speeds(root)
    with TemporaryDirectory() as folder:
        written = clips.write(Path(folder), clips.fma_in_stereo() or None)["mp3"]
        files = [NamedFile(str(number), written[number % len(written)]) for number in range(n_clips)]
        rows = []
        for manifest in registry.installed(root):
            if names and manifest.name not in names:
                continue
            try:
                model = registry.load(root / manifest.name / manifest.version)
            except ModelUnavailable as error:
                print(f"{manifest.full_name} is left out: {error.message}", file=sys.stderr)
                continue
            found = speeds[manifest.full_name] = measure_model(model, files, rounds)
            rows.append([manifest.full_name, found.on_processor, found.on_gpu])
    measure.print_table(["", "a second and core", "GPU, a second"], rows)
    if write:
        write_speeds(root, speeds)
        (root / OVERVIEW_NAME).write_text(describe(registry.installed(root), speeds), encoding="utf-8")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("models", nargs="*")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--write", action="store_true")
    given = parser.parse_args()
    main(given.models, given.clips, given.rounds, write=given.write)
