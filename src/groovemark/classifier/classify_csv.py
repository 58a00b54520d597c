"""A CSV: read, checked, classified and recorded in one transaction, so that nothing is ever half stored."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import asyncpg
import numpy as np
from numpy.typing import NDArray
from sqlalchemy import RowMapping

from groovemark.classifier.ending import end_batch
from groovemark.context import Context
from groovemark.db import batches, jobs, merging, models, predictions
from groovemark.db.models import ModelRow
from groovemark.db.predictions import Result, Target
from groovemark.db.session import raw_connection
from groovemark.errors import FAULTS_MAX, Fault, InputRejected
from groovemark.ingest.csv import Block, CsvTable, open_csv
from groovemark.keeping import fetched
from groovemark.lease import Lease
from groovemark.ml.drift.summary import InputSummary
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.models.base import Classifier


@dataclass
class _Tally:
    """What was met on the way through the file."""

    summary: InputSummary
    rows_uploaded: int = 0
    rows_missing: int = 0
    rows_bad: int = 0
    faults: list[Fault] = field(default_factory=list)
    """For the rejection; with on_error=skip they go to the database block by block, and none is kept here."""


async def classify_csv(context: Context, batch: RowMapping, lease: Lease) -> None:
    """Raises InputRejected when the file, or with `on_error=reject` any cell of it, is bad; then nothing is stored."""
    async with context.database.transaction() as connection:
        [upload] = await batches.uploads(connection, batch["id"])
        known = await _candidates(context, batch)
    async with fetched(context.storage, upload["sha256"]) as path:
        await _classify(context, batch, lease, known, path)


async def _classify(context: Context, batch: RowMapping, lease: Lease, known: Sequence[ModelRow], path: Path) -> None:
    table = await asyncio.to_thread(_open, path, known, context)
    chosen = next(model for model in known if model.features == table.spec.name)
    classifier = await asyncio.to_thread(context.models.get, chosen.name, chosen.version)
    tally = _Tally(InputSummary(table.spec, classifier.spec.labels))
    target = Target(batch["id"], batch["catalog_id"], batch["task"], chosen.id)

    async with context.database.transaction() as connection:
        raw = await raw_connection(connection)
        await predictions.open_stage(raw)
        await _stage(raw, table, classifier, tally, lease, target=target if batch["on_error"] == "skip" else None)
        if tally.faults:
            raise _rejection(tally)
        # From here on the job is locked: a worker that lost its lease learns it now and writes nothing.
        if await jobs.hold(connection, lease.claim):
            lease.is_cancelled = True
        lease.check()
        await batches.set_model(connection, batch["id"], chosen.id)
        await predictions.supersede(raw, target)
        succeeded = await predictions.add_items(raw, target)
        await merging.merge(raw, target)
        await batches.add_counts(
            connection,
            batch["id"],
            total=succeeded + tally.rows_bad,
            succeeded=succeeded,
            rows_uploaded=tally.rows_uploaded,
            rows_missing=tally.rows_missing,
        )
        await models.record_use(connection, chosen.id, tracks=succeeded)
        await end_batch(connection, batch["id"], "completed", input_summary=tally.summary.as_dict())
        await jobs.finish(connection, lease.claim, "succeeded")


async def _candidates(context: Context, batch: RowMapping) -> list[ModelRow]:
    """Models the header may fit: the one asked for, or every active one of the task, widest first."""
    async with context.database.transaction() as connection:
        if batch["model_version_id"] is not None:
            return [await models.get(connection, batch["model_version_id"])]
        known = await models.active(connection, catalog_id=batch["catalog_id"], task=batch["task"])
    known = [model for model in known if model.takes_tables]
    return sorted(known, key=lambda model: -len(FEATURE_SETS[model.features].columns))


def _open(path: Path, known: Sequence[ModelRow], context: Context) -> CsvTable:
    specs = list({model.features: FEATURE_SETS[model.features] for model in known}.values())
    return open_csv(path, specs=specs, limits=context.csv_limits)


async def _stage(
    raw: asyncpg.Connection,
    table: CsvTable,
    classifier: Classifier,
    tally: _Tally,
    lease: Lease,
    *,
    target: Target | None,
) -> None:
    """Through the file block by block: the next one is read while the model works on this one.

    With a target, bad rows become failed items of it; without one, the first of them make all computing pointless.
    """
    blocks = table.blocks()
    reading = asyncio.create_task(asyncio.to_thread(_next, blocks))
    try:
        while (block := await reading) is not None:
            lease.check()
            reading = asyncio.create_task(asyncio.to_thread(_next, blocks))
            lease.progress = block.fraction_read
            tally.rows_uploaded += block.rows_read
            tally.rows_missing += block.rows_missing
            if target is not None:
                tally.rows_bad += await _add_bad_rows(raw, target, block.faults)
            else:
                tally.faults += block.faults
            if tally.faults:
                # Nothing will be stored: read on for more faults, but compute nothing.
                if len(tally.faults) >= FAULTS_MAX:
                    return
            elif len(block.features):
                probabilities = await asyncio.to_thread(classifier.run, block.features)
                await predictions.stage(raw, _results(block, probabilities, classifier.spec.labels))
                tally.summary.add(block.features, probabilities.argmax(axis=1))
    finally:
        reading.cancel()


def _next(blocks: Iterator[Block]) -> Block | None:
    return next(blocks, None)


def _results(block: Block, probabilities: NDArray[np.float32], labels: Sequence[str]) -> Iterator[Result]:
    """An item's position is its line."""
    best = probabilities.argmax(axis=1)
    confidence = probabilities[np.arange(len(best)), best].tolist()
    rows = zip(
        block.lines.tolist(),
        block.external_ids,
        block.titles,
        best.tolist(),
        confidence,
        probabilities.tolist(),
        strict=True,
    )
    for line, external_id, title, label, chance, chances in rows:
        yield Result(line, line, external_id, title, labels[label], chance, chances)


def _rejection(tally: _Tally) -> InputRejected:
    count = len(tally.faults)
    some = f"at least {FAULTS_MAX}" if count >= FAULTS_MAX else str(count)
    faults, them = ("fault", "it") if count == 1 else ("faults", "them")
    return InputRejected(
        f"The rows have {some} {faults} and nothing was stored; correct {them}, or send on_error=skip to store the "
        "good rows.",
        faults=tally.faults[:FAULTS_MAX],
    )


async def _add_bad_rows(raw: asyncpg.Connection, target: Target, faults: Sequence[Fault]) -> int:
    """Failed items with their faults; answers how many rows they are. All faults of a row are in one block."""
    if not faults:
        return 0
    first_of_line = {fault.line: fault for fault in reversed(faults) if fault.line is not None}
    await raw.copy_records_to_table(
        "batch_item",
        records=((target.batch_id, line, fault.item, line, "failed") for line, fault in first_of_line.items()),
        columns=("batch_id", "position", "external_id", "line", "state"),
    )
    await predictions.add_faults(raw, target.batch_id, [(fault.line, fault) for fault in faults])
    return len(first_of_line)
