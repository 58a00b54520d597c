"""`groovemark features`: audio files to a table of features. Needs no web, no database, no settings."""

from __future__ import annotations

import os
import sys
from itertools import chain
from pathlib import Path
from typing import Annotated

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
ROWS_AT_ONCE = 256


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
            rows: list[dict[str, object]] = []
            source = (NamedFile(str(file), file) for file in files)
            for file, found in chain.from_iterable(extractor.extract(source, [spec])):
                if isinstance(found, AudioRejected):
                    failures += 1
                    progress.console.print(f"{file}: {found.message}", markup=False, highlight=False, soft_wrap=True)
                rows.append({"file": file} | ({} if isinstance(found, AudioRejected) else _values(spec, found[0])))
                progress.advance(task)
                if len(rows) == ROWS_AT_ONCE:
                    _write(writer, rows, spec)
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
        size = 1
        for length in spec.shape:
            size *= length
        window = pa.list_(pa.float32(), size)
        shape = "x".join(str(length) for length in spec.shape)
        return pa.schema([("file", pa.string()), pa.field("windows", pa.list_(window), metadata={"shape": shape})])
    return pa.schema([("file", pa.string()), *((name, pa.float32()) for name in spec.numeric_names)])


def _values(spec: FeatureSpec, found: FileFeatures) -> dict[str, object]:
    if spec.shape:
        return {"windows": list(found.windows)}
    return dict(zip(spec.numeric_names, found.windows.mean(axis=0, dtype="float64").tolist(), strict=True))


def _write(writer: pq.ParquetWriter, rows: list[dict[str, object]], spec: FeatureSpec) -> None:
    writer.write_table(pa.Table.from_pylist(rows, schema=_schema(spec)))
    rows.clear()
