"""From labelled audio files to rows of features: what training reads where there is no table."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from groovemark.errors import AudioRejected
from groovemark.ml.datasets.progress import UNWATCHED, Progress
from groovemark.ml.datasets.table import Report, no_report
from groovemark.ml.features.cache import FeatureCache, content_sha256
from groovemark.ml.features.spec import FeatureSpec
from groovemark.ml.features.tabular import FeatureTable

REPORT_EVERY = 100


@dataclass(frozen=True)
class Windows:
    """The windows of some files, one below the other.

    Attributes:
        table: one row a window.
        files: (n,) the place of each row's file among those that were read.
        sha256s: of each file's bytes.
    """

    table: FeatureTable
    files: NDArray[np.int64]
    sha256s: tuple[str, ...]


def cache_folder() -> Path:
    """Where features of training audio are kept: in the user's own cache, never in the data folder."""
    home = os.environ.get("XDG_CACHE_HOME")
    return (Path(home) if home else Path.home() / ".cache") / "groovemark" / "features"


def read_windows(
    paths: Sequence[Path], spec: FeatureSpec, *, report: Report = no_report, progress: Progress = UNWATCHED
) -> Windows:
    """Extract every window of every file, or take what an earlier run extracted of the same bytes.

    Training data is the operator's own: it is decoded in this process, without a sandbox.

    Raises:
        AudioRejected: a file cannot be decoded.
        FileNotFoundError: a file is missing.
    """
    from groovemark.ml.features.files import extract_file

    cache = FeatureCache(cache_folder())
    rows: list[NDArray[Any]] = []
    sha256s: list[str] = []
    progress.begin(f"{spec.name} of files", len(paths))
    for number, path in enumerate(paths, start=1):
        sha256 = content_sha256(path)
        found = cache.get(sha256, spec)
        if found is None:
            try:
                found = extract_file(str(path), spec.name)
            except AudioRejected as error:
                raise AudioRejected(error.reason, f"{path}: {error.message}") from error
            cache.put(sha256, spec, found)
        rows.append(found.windows)
        sha256s.append(sha256)
        progress.advance()
        if number % REPORT_EVERY == 0:
            report(f"{spec.name} of {number} of {len(paths)} files")
    counts = [len(windows) for windows in rows]
    return Windows(
        table=FeatureTable.of_windows(spec, np.concatenate(rows)),
        files=np.repeat(np.arange(len(paths), dtype=np.int64), counts),
        sha256s=tuple(sha256s),
    )
