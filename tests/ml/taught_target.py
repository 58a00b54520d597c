"""A process that teaches small networks of a family, tells of every epoch on stdout and writes what they have learned.

    python taught_target.py FAMILY FOLDER SETTINGS [FOLDER SETTINGS ...]

The settings are JSON; the folders get the files of the family's artifact, one after the other.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

from groovemark.ml.features.sets import AST_FBANK_3S, ECHONEST_155, MFCC_SEGMENTS, WAVEFORM_10S
from groovemark.ml.features.tabular import FeatureTable
from groovemark.ml.models.registry import FAMILIES, resolve

SETTINGS = {
    "cnn": {"channels": (4, 6), "pool": (4, 1)},
    "text": {"tuned_layers": 1, "rank": 2, "numbers": False},
    "transformer": {
        "hidden_size": 16,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "intermediate_size": 32,
        "patch_size": 64,
        "frequency_stride": 64,
        "time_stride": 64,
        "temperature": 1.0,
    },
    "waveform": {},
}
SPECS = {"cnn": MFCC_SEGMENTS, "transformer": AST_FBANK_3S, "waveform": WAVEFORM_10S}
WORDS = ("river hill song", "night blood iron", "baby dance love")
TARGETS = np.arange(24) % 3


def table_of(family: str) -> FeatureTable:
    """Rows that tell the labels apart."""
    if family == "text":
        texts = {name: [WORDS[target] for target in TARGETS] for name in ("title", "tags")}
        return FeatureTable(ECHONEST_155, np.zeros((24, len(ECHONEST_155.numeric_names))), texts)
    spec = SPECS[family]
    noise = np.random.default_rng(0).normal(size=(24, *spec.window_shape))
    return FeatureTable.of_windows(spec, noise + TARGETS.reshape(-1, *[1] * len(spec.window_shape)))


def taught(family: str, folder: Path, report: Callable[[str], None], **settings: object) -> None:
    """Fit a member with these settings besides those above, and write its files."""
    functions = FAMILIES[family]
    plan = resolve(functions.plan)(settings={**SETTINGS[family], **settings}, ranges={}, trials=0, seeds=(0,))
    rows = np.arange(24)
    folds = [(rows[rows % 4 != 0], rows[rows % 4 == 0])]
    fitted = resolve(functions.fit)(table_of(family), TARGETS, 3, folds, plan, report=report)
    folder.mkdir()
    resolve(functions.save)(folder, [fitted])


def main(family: str, *folders_and_settings: str) -> None:
    def tell(line: str) -> None:
        sys.stdout.write(f"{line}\n")
        sys.stdout.flush()

    for folder, settings in zip(folders_and_settings[::2], folders_and_settings[1::2], strict=True):
        taught(family, Path(folder), tell, **json.loads(settings))


if __name__ == "__main__":
    main(*sys.argv[1:])
