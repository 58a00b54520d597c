"""Audio files: decoded and classified one by one, recorded in small transactions as they come."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory

from sqlalchemy import RowMapping

from groovemark.classifier.audio_items import prepare_items
from groovemark.context import Context
from groovemark.db import batches, jobs, merging, models, predictions
from groovemark.db.predictions import Result, Target
from groovemark.db.session import raw_connection
from groovemark.errors import AudioRejected, Fault
from groovemark.ingest.archive import extract_member
from groovemark.lease import Lease
from groovemark.ml.drift.summary import InputSummary
from groovemark.ml.models.base import Classifier
from groovemark.ml.predict import TrackFailure, TrackPrediction, predict_audio

logger = logging.getLogger(__name__)

CHUNK_ITEMS = 32
CHUNK_S = 1.0
"""Results are recorded when there are this many, or when the first of them has waited this long."""

Outcome = TrackPrediction | TrackFailure


async def classify_audio(context: Context, batch: RowMapping, lease: Lease) -> None:
    """Every item ends as succeeded or failed. Raises InputRejected when a zip or the manifest cannot be used."""
    async with context.database.transaction() as connection:
        uploads = await batches.uploads(connection, batch["id"])
        model = await models.get(connection, batch["model_version_id"])
    items = await prepare_items(context, batch, uploads, lease)
    classifier = await asyncio.to_thread(context.models.get, model.name, model.version)
    target = Target(batch["id"], batch["catalog_id"], batch["task"], model.id)
    with TemporaryDirectory(dir=context.storage.incoming) as folder:
        files = _Files(context, uploads, items, Path(folder))
        outcomes = predict_audio(files, classifier, context.sandbox, should_stop=lambda: lease.should_stop)
        by_key = {str(item["position"]): item for item in items}
        summary = InputSummary(classifier.spec.features, classifier.spec.labels)
        done = 0
        while chunk := await asyncio.to_thread(_take, outcomes, files):
            await _record(context, target, lease, classifier, [(by_key[outcome.key], outcome) for outcome in chunk])
            for outcome in chunk:
                if isinstance(outcome, TrackPrediction):
                    summary.add(outcome.features, outcome.segments.argmax(axis=1))
            done += len(chunk)
            lease.progress = done / len(items)
    if done < len(items):
        lease.check()  # it stopped early, and here is why; a wish to cancel that came too late changes nothing
    async with context.database.transaction() as connection:
        await jobs.hold(connection, lease.claim)
        await batches.finish(connection, batch["id"], "completed", input_summary=summary.as_dict())
        await jobs.finish(connection, lease.claim, "succeeded")


class _Files:
    """Items as files: uploads lie in the store, a zip's members are unpacked when their turn comes."""

    def __init__(
        self, context: Context, uploads: Sequence[RowMapping], items: Sequence[RowMapping], folder: Path
    ) -> None:
        self._context, self._items, self._folder = context, items, folder
        self._sha256 = {upload["number"]: upload["sha256"] for upload in uploads}
        self._damaged: list[TrackFailure] = []

    def __iter__(self) -> Iterator[tuple[str, Path]]:
        for item in self._items:
            key, path = str(item["position"]), self._context.storage.path(self._sha256[item["upload_number"]])
            if item["member"] is None:
                yield key, path
                continue
            target = self._folder / key
            try:
                extract_member(path, item["member"], target, self._context.archive_limits)
            except AudioRejected as error:
                target.unlink(missing_ok=True)
                self._damaged.append(TrackFailure(key, error.reason, error.message))
            else:
                yield key, target

    def finished(self, key: str) -> None:
        """Nobody needs the unpacked member any more."""
        (self._folder / key).unlink(missing_ok=True)

    def take_damaged(self) -> list[TrackFailure]:
        """Members that could not even be unpacked, since the last call."""
        damaged, self._damaged = self._damaged, []
        return damaged


def _take(outcomes: Iterator[Outcome], files: _Files) -> list[Outcome]:
    """The next results, up to a chunk's size or time; empty at the end."""
    chunk: list[Outcome] = []
    started = time.monotonic()
    for outcome in outcomes:
        files.finished(outcome.key)
        chunk.append(outcome)
        if len(chunk) >= CHUNK_ITEMS or time.monotonic() - started >= CHUNK_S:
            break
    return chunk + files.take_damaged()


async def _record(
    context: Context,
    target: Target,
    lease: Lease,
    classifier: Classifier,
    chunk: Sequence[tuple[RowMapping, Outcome]],
) -> None:
    """Results, item states and counts in one transaction; refused when the lease is lost."""
    async with context.database.transaction() as connection:
        raw = await raw_connection(connection)
        await jobs.hold(connection, lease.claim)
        failed, results = 0, []
        for item, outcome in chunk:
            if isinstance(outcome, TrackPrediction):
                results.append(_result(item, outcome, classifier.spec.labels, context))
            elif await batches.fail_item(connection, target.batch_id, item["position"]):
                failed += 1
                if outcome.reason.startswith("decoder_"):  # the file's fault, or ours: an operator should look
                    logger.warning("batch %s, item %s: %s", target.batch_id, item["position"], outcome.message)
                fault = Fault(outcome.reason, outcome.message, item=item["external_id"])
                await predictions.add_faults(raw, target.batch_id, [(item["position"], fault)])
        await predictions.open_stage(raw)
        await predictions.stage(raw, results)
        succeeded = await predictions.finish_items(raw, target)
        await merging.merge(raw, target)
        await batches.add_counts(connection, target.batch_id, succeeded=succeeded, failed=failed)
        await models.record_use(connection, target.model_version_id, tracks=succeeded)


def _result(item: RowMapping, outcome: TrackPrediction, labels: Sequence[str], context: Context) -> Result:
    best = int(outcome.probabilities.argmax())
    file = str(item["file"])
    title = str(item["title"] or outcome.title or PurePosixPath(file).stem)
    return Result(
        position=int(outcome.key),
        line=None,
        external_id=str(item["external_id"]),
        title=title[: context.csv_limits.title_characters],
        label=labels[best],
        confidence=float(outcome.probabilities[best]),
        probabilities=outcome.probabilities.tolist(),
        segments=outcome.segments.tolist() if len(outcome.segments) > 1 else None,
    )
