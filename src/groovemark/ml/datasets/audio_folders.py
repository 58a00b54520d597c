"""Anybody's own recordings: audio files in folders that are named as their labels."""

from __future__ import annotations

from errno import ENOENT
from pathlib import Path

from groovemark.errors import InputRejected
from groovemark.ml.audio.suffixes import AUDIO_SUFFIXES
from groovemark.ml.datasets.audio import read_windows
from groovemark.ml.datasets.joint import merged_groups
from groovemark.ml.datasets.progress import UNWATCHED, Progress
from groovemark.ml.datasets.table import Dataset, Report, no_report, number_groups, number_labels
from groovemark.ml.features.spec import FeatureSpec

LABELS_LEAST = 2


def read_audio_folders(
    root: Path, spec: FeatureSpec, *, report: Report = no_report, progress: Progress = UNWATCHED
) -> Dataset:
    """Files at `LABEL/…` and at `LABEL/ARTIST/…` below the root, whose artist is then never on both sides of a split.

    Files of equal bytes, too, stay together.

    Raises:
        FileNotFoundError: there are none.
        InputRejected: there is one label alone.
        AudioRejected: a file cannot be read.
    """
    files = sorted(
        path for path in root.glob("[!.]*/**/[!.]*") if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file()
    )
    if not files:
        raise FileNotFoundError(ENOENT, "no audio in folders that are labels", str(root))
    names = [path.relative_to(root) for path in files]
    if len({name.parts[0] for name in names}) < LABELS_LEAST:
        raise InputRejected(f"{root}: its audio lies in the one folder {names[0].parts[0]}; a label needs another one")
    windows = read_windows(files, spec, report=report, progress=progress)
    labels, targets = number_labels([names[place].parts[0] for place in windows.files])
    artists = number_groups([name.parts[:2] for name in names])  # of a file right below its label, the file
    groups = merged_groups([artists, number_groups(list(windows.sha256s))])
    return Dataset(
        name="audio-folders",
        table=windows.table,
        ids=tuple(names[place].as_posix() for place in windows.files),
        labels=labels,
        targets=targets,
        groups=groups[windows.files],
        grouping="files of a folder within their label's, and files of equal bytes",
        source=f"{len(files)} audio files in folders named as labels",
        licence="that of the recordings, not stated",
        tracks=windows.files,
    )
