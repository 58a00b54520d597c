"""Recording what came of a shard: results, item states, counts and perhaps the batch's end in one transaction."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import PurePosixPath
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier.ending import end_batch
from groovemark.classifier.item_files import key_of
from groovemark.classifier.shard import Outcome, Shard, load_shard
from groovemark.context import Context
from groovemark.db import batches, items, jobs, merging, models, predictions, shards
from groovemark.db.jobs import Claim
from groovemark.db.predictions import Result, Segments, Target
from groovemark.db.session import raw_connection
from groovemark.errors import Fault, ServiceError
from groovemark.ingest.urls import stem_of
from groovemark.ml.drift.summary import InputSummary
from groovemark.ml.features.sets import FEATURE_SETS
from groovemark.ml.predict import TrackFailure, TrackPrediction
from groovemark.working import described

logger = logging.getLogger(__name__)


async def record_outcomes(
    context: Context,
    shard: Shard,
    held: Claim,
    outcomes: Sequence[Outcome],
    metrics: Mapping[str, Any],
    *,
    is_last: bool,
) -> None:
    """`metrics`: of the shard so far. Raises LeaseLost when another worker has the shard: nothing is written then."""
    batch = shard.batch
    title_characters = context.csv_limits.title_characters
    results = [
        _result(item, outcome, shard.model.labels, title_characters)
        for outcome in outcomes
        if isinstance(outcome, TrackPrediction)
        for item in shard.equals(outcome.key)
    ]
    failed = [
        (item, Fault(outcome.reason, outcome.message))
        for outcome in outcomes
        if isinstance(outcome, TrackFailure)
        for item in shard.equals(outcome.key)
    ]
    _log_crashes(batch, outcomes)
    async with context.database.transaction() as connection:
        await jobs.hold(connection, held)
        if results:
            await _record_results(connection, shard, results)
        await fail_items(connection, batch, failed)
        await shards.keep_metrics(connection, held.job_id, metrics)
        await batches.add_counts(connection, batch["id"], succeeded=len(results), failed=len(failed))
        if is_last:
            await jobs.finish(connection, held, "succeeded")
            await _end_if_reached(connection, shard)


async def settle_shard(context: Context, shard: Shard, held: Claim, error: ServiceError) -> None:
    """What is left of it fails with the error."""
    async with context.database.transaction() as connection:
        await jobs.hold(connection, held)
        left = await load_shard(connection, held.job_id)  # this attempt may have recorded some
        own = [] if left is None else left.own
        fault = Fault(error.code, error.message)
        failed = [(equal, fault) for item in own for equal in shard.equals(key_of(item))]
        await fail_items(connection, shard.batch, failed)
        await batches.add_counts(connection, shard.batch["id"], failed=len(failed))
        await jobs.finish(connection, held, "failed", error=described(error))
        await _end_if_reached(connection, shard)


async def _record_results(connection: AsyncConnection, shard: Shard, results: Sequence[Result]) -> None:
    """The job is held: nobody else ends these items."""
    batch = shard.batch
    target = Target(batch["id"], batch["catalog_id"], batch["task"], shard.model.id)
    raw = await raw_connection(connection)
    await predictions.open_stage(raw)
    await predictions.stage(raw, results)
    if await predictions.finish_items(raw, target) != len(results):
        raise RuntimeError(f"an item of batch {batch['id']} ended twice")
    await merging.merge(raw, target)
    await models.record_use(connection, shard.model.id, tracks=len(results))


async def fail_items(
    connection: AsyncConnection, batch: RowMapping, failed: Sequence[tuple[RowMapping, Fault]]
) -> None:
    """The items end as failed, each with its fault. The job is held: nobody else ends them."""
    if not failed:
        return
    if await items.fail(connection, batch["id"], [item["position"] for item, _ in failed]) != len(failed):
        raise RuntimeError(f"an item of batch {batch['id']} ended twice")
    await batches.lock(connection, batch["id"])  # faults are numbered: two shards at once would take the same numbers
    faults = [(item["position"], Fault(fault.code, fault.message, item=item["external_id"])) for item, fault in failed]
    await predictions.add_faults(await raw_connection(connection), batch["id"], faults)


async def _end_if_reached(connection: AsyncConnection, shard: Shard) -> None:
    if (state := await batches.end_reached(connection, shard.batch["id"])) is None:
        return
    whole = InputSummary(FEATURE_SETS[shard.model.features], shard.model.labels)
    async for metrics in shards.metrics(connection, shard.batch["id"]):
        if "summary" in metrics:
            whole.add_state(metrics["summary"])
    await end_batch(connection, shard.batch["id"], state, input_summary=whole.as_dict())


def _log_crashes(batch: RowMapping, outcomes: Sequence[Outcome]) -> None:
    """The file's fault, or ours: an operator should look."""
    for outcome in outcomes:
        if isinstance(outcome, TrackFailure) and outcome.reason.startswith("decoder_"):
            logger.warning("batch %s, item %s: %s", batch["id"], outcome.key, outcome.message)


def _result(item: RowMapping, outcome: TrackPrediction, labels: Sequence[str], title_characters: int) -> Result:
    best = int(outcome.probabilities.argmax())
    file = str(item["file"])
    title = str(item["title"] or outcome.title or (stem_of(file) if item["url"] else PurePosixPath(file).stem))
    return Result(
        position=item["position"],
        line=None,
        external_id=str(item["external_id"]),
        title=title[:title_characters],
        label=labels[best],
        confidence=float(outcome.probabilities[best]),
        probabilities=outcome.probabilities.tolist(),
        segments=_timeline(outcome) if len(outcome.segments) > 1 else None,
    )


def _timeline(outcome: TrackPrediction) -> Segments:
    return Segments(outcome.window_s, outcome.starts_s.tolist(), outcome.segments.tolist())
