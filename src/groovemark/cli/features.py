"""`groovemark features`: audio files to a table of features. Needs no web, no database, no settings."""

from __future__ import annotations

import math
import os
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import Progress

from groovemark.errors import AudioRejected, ConfigurationError
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.features.cache import FeatureCache
from groovemark.ml.features.device import Choice
from groovemark.ml.features.file_extractor import FileExtractor, NamedFile
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec

FROM_AUDIO = {name: spec for name, spec in FEATURE_SETS.items() if spec.audio is not None}
ROWS_AT_ONCE, BYTES_AT_ONCE = 256, 32 << 20
"""What is held before it is written: an hour may have as many bytes of tensors as hundreds of clips."""

Row = tuple[str, FileFeatures | None]
"""A file's name, and its features unless it failed."""


def features(
    files: Annotated[list[Path], typer.Argument(help="Audio files; the rows come in this order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.")],
    set_name: Annotated[str, typer.Option("--set", help=f"One of {', '.join(FROM_AUDIO)}.")] = "gtzan-57",
    processes: Annotated[int | None, typer.Option(min=1, help="Decoding processes; one per core by default.")] = None,
    device: Annotated[Choice, typer.Option(help="Where features are computed; auto: a GPU if there is one.")] = "auto",
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features for the next time.")] = None,
) -> None:
    """Write one row a file: column `file`, then the features.

    A track longer than the set's window has the mean over its windows; a set of tensors keeps every window.
    A file that fails is a row of nulls; its error goes to stderr, and the command ends with exit code 1.
    """
    if set_name not in FROM_AUDIO:
        raise typer.BadParameter(f"{set_name} is not one of {', '.join(FROM_AUDIO)}.", param_hint="--set")
    if output.is_dir() or not output.parent.is_dir():
        raise typer.BadParameter(f"{output} must be a file in a folder that exists.", param_hint="--output")
    spec = FROM_AUDIO[set_name]
    failures = 0
    partial = output.with_name(f".{output.name}.part")
    try:
        store = FeatureCache(cache) if cache else None
        with (
            FileExtractor.open(device, processes=processes or os.cpu_count() or 1, cache=store) as extractor,
            Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress,
            pq.ParquetWriter(partial, _schema(spec)) as writer,
        ):
            task = progress.add_task(set_name, total=len(files))
            rows: list[Row] = []
            held_bytes = 0
            source = (NamedFile(str(file), file) for file in files)
            for file, found in chain.from_iterable(extractor.extract(source, [spec])):
                if isinstance(found, AudioRejected):
                    failures += 1
                    progress.console.print(f"{file}: {found.message}", markup=False, highlight=False, soft_wrap=True)
                known = None if isinstance(found, AudioRejected) else found[0]
                rows.append((file, known))
                held_bytes += known.windows.nbytes if known else 0
                progress.advance(task)
                if len(rows) == ROWS_AT_ONCE or held_bytes > BYTES_AT_ONCE:
                    _write(writer, rows, spec)
                    held_bytes = 0
            if rows:
                _write(writer, rows, spec)
        partial.replace(output)
    except (ConfigurationError, OSError) as error:
        print(f"groovemark: {error}", file=sys.stderr)
        raise typer.Exit(1) from error
    finally:
        partial.unlink(missing_ok=True)
    if failures:
        print(f"groovemark: {failures} of {len(files)} files failed", file=sys.stderr)
        raise typer.Exit(1)


def _schema(spec: FeatureSpec) -> pa.Schema:
    if spec.shape:
        window = pa.list_(pa.float32(), math.prod(spec.shape))
        shape = "x".join(str(length) for length in spec.shape)
        return pa.schema([("file", pa.string()), pa.field("windows", pa.list_(window), metadata={"shape": shape})])
    return pa.schema([("file", pa.string()), *((name, pa.float32()) for name in spec.numeric_names)])


def _write(writer: pq.ParquetWriter, rows: list[Row], spec: FeatureSpec) -> None:
    # Names are bytes to the system; what is not UTF-8 in them is shown as such.
    names = [os.fsencode(name).decode("utf-8", "backslashreplace") for name, _ in rows]
    found = [known for _, known in rows]
    columns = [_tensors(found, spec)] if spec.shape else _means(found, spec)
    writer.write_table(pa.Table.from_arrays([pa.array(names, pa.string()), *columns], schema=_schema(spec)))
    rows.clear()


def _means(found: list[FileFeatures | None], spec: FeatureSpec) -> list[pa.Array]:
    means = np.full((len(found), len(spec.numeric_names)), np.nan, np.float32)
    for row, known in zip(means, found, strict=True):
        if known:
            row[:] = known.windows.mean(axis=0, dtype=np.float64)
    return [pa.array(column, pa.float32(), mask=np.isnan(column)) for column in means.T]


def _tensors(found: list[FileFeatures | None], spec: FeatureSpec) -> pa.Array:
    """A list of windows a file, straight from their memory."""
    windows = [known.windows for known in found if known]
    numbers = np.concatenate(windows).ravel() if windows else np.empty(0, np.float32)
    values = pa.FixedSizeListArray.from_arrays(pa.array(numbers), math.prod(spec.shape))
    ends = np.cumsum([0, *(len(known.windows) if known else 0 for known in found)])
    return pa.ListArray.from_arrays(
        pa.array(ends, pa.int32()), values, mask=pa.array([known is None for known in found], pa.bool_())
    )
