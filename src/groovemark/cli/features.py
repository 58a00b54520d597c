"""`groovemark features`: audio files to a table of features. Needs no web, no database, no settings."""

from __future__ import annotations

import os
import sys
from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Annotated

import pyarrow as pa
import pyarrow.parquet as pq
import typer
from rich.console import Console
from rich.progress import Progress

from groovemark.errors import AudioRejected, ConfigurationError
from groovemark.ml.audio.messages import FileFeatures
from groovemark.ml.audio.sandbox import Sandbox
from groovemark.ml.features.cache import FeatureCache, content_sha256
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.features.spec import FeatureSpec

FROM_AUDIO = {name: spec for name, spec in FEATURE_SETS.items() if spec.audio is not None}
ROWS_AT_ONCE = 256


def features(
    files: Annotated[list[Path], typer.Argument(help="Audio files; the rows come in this order.")],
    output: Annotated[Path, typer.Option("--output", "-o", help="The Parquet file to write.")],
    set_name: Annotated[str, typer.Option("--set", help=f"One of {', '.join(FROM_AUDIO)}.")] = "gtzan-57",
    processes: Annotated[int, typer.Option(min=1, help="Decoding processes; one per core by default.")] = 0,
    cache: Annotated[Path | None, typer.Option(help="Folder that keeps features for the next time.")] = None,
) -> None:
    """Write one row a file: column `file`, then the features.

    A track longer than the set's window has the mean over its windows; a set of tensors keeps every window.
    A file that fails is a row of nulls; its error goes to stderr, and the command ends with exit code 1.
    """
    if set_name not in FROM_AUDIO:
        raise typer.BadParameter(f"{set_name} is not one of {', '.join(FROM_AUDIO)}.", param_hint="--set")
    spec = FROM_AUDIO[set_name]
    store = FeatureCache(cache) if cache else None
    failures = 0
    partial = output.with_name(f".{output.name}.part")
    try:
        with (
            Sandbox(processes=processes or os.cpu_count() or 1) as sandbox,
            Progress(console=Console(stderr=True), disable=not sys.stderr.isatty()) as progress,
            pq.ParquetWriter(partial, _schema(spec)) as writer,
        ):
            task = progress.add_task(set_name, total=len(files))
            rows: list[dict[str, object]] = []
            for file, found in zip(files, _extracted(files, spec, sandbox, store), strict=True):
                if isinstance(found, AudioRejected):
                    failures += 1
                    progress.console.print(f"{file}: {found.message}", markup=False, highlight=False, soft_wrap=True)
                rows.append({"file": str(file)} | ({} if isinstance(found, AudioRejected) else _values(spec, found)))
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


def _extracted(
    files: Sequence[Path], spec: FeatureSpec, sandbox: Sandbox, store: FeatureCache | None
) -> Iterator[FileFeatures | AudioRejected]:
    """In the order of the files, of which twice as many as there are processes are under way."""
    waiting = iter(files)
    under_way: deque[Future[FileFeatures | AudioRejected]] = deque()
    with ThreadPoolExecutor(sandbox.processes) as executor:
        while True:
            while len(under_way) < 2 * sandbox.processes and (file := next(waiting, None)) is not None:
                under_way.append(executor.submit(_extract, file, spec, sandbox, store))
            if not under_way:
                return
            yield under_way.popleft().result()


def _extract(
    file: Path, spec: FeatureSpec, sandbox: Sandbox, store: FeatureCache | None
) -> FileFeatures | AudioRejected:
    try:
        if store is None:
            return sandbox.call(file, spec.name)
        sha256 = content_sha256(file)
        found = store.get(sha256, spec)
        if found is None:
            found = sandbox.call(file, spec.name)
            store.put(sha256, spec, found)
    except AudioRejected as error:
        return error
    except FileNotFoundError as error:
        return AudioRejected("undecodable", f"The file cannot be opened: {error.strerror}.")
    return found
