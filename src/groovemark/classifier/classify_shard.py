"""Some files of a batch: decoded and classified one by one, recorded in small transactions as they come."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator
from contextlib import aclosing
from pathlib import Path
from tempfile import TemporaryDirectory

from groovemark.classifier.item_files import item_files
from groovemark.classifier.record_shard import record_outcomes
from groovemark.classifier.shard import Outcome, Shard, Tally
from groovemark.context import Context
from groovemark.db import jobs, shards
from groovemark.lease import Lease
from groovemark.ml.features.file_extractor import NamedFile
from groovemark.ml.models.base import Classifier
from groovemark.ml.predict import TrackFailure, predict_audio
from groovemark.working import AttemptsExhausted

CHUNK_ITEMS = 32
CHUNK_S = 1.0
"""Results are recorded when there are this many, or when the first of them has waited this long."""

Predict = Callable[[Iterable[NamedFile]], Iterator[list[Outcome]]]


async def classify_shard(context: Context, shard: Shard, lease: Lease) -> None:
    """Every item ends as succeeded or failed, and the batch with the last one."""
    classifier = await asyncio.to_thread(context.models.get, shard.model.name, shard.model.version)
    tally = Tally(classifier, shard)
    left = len(shard.own)
    if not left:
        await record_outcomes(context, shard, lease.claim, [], tally.metrics(), is_last=True)
        return
    # After an early stop a thread may still be unpacking; the sweep takes what it leaves.
    with TemporaryDirectory(dir=context.storage.incoming, ignore_cleanup_errors=True) as folder:
        predict = functools.partial(_predict, context, shard, classifier, lease, tally)
        files = item_files(context, shard.own, Path(folder), should_stop=lambda: lease.should_stop)
        # Where a worker died of the shard, it is to be known of which item.
        is_careful = lease.claim.attempt > 1
        chunks = _one_by_one(context, shard, files, predict, lease) if is_careful else _together(files, predict)
        async with aclosing(chunks):
            async for chunk in chunks:
                tally.add(chunk)
                left -= len(chunk)
                await record_outcomes(context, shard, lease.claim, chunk, tally.metrics(), is_last=left == 0)
                if not left:
                    return
    lease.check()  # it stopped early, and here is why
    raise RuntimeError(f"{left} files of job {lease.claim.job_id} have no outcome")


def _predict(
    context: Context, shard: Shard, classifier: Classifier, lease: Lease, tally: Tally, files: Iterable[NamedFile]
) -> Iterator[list[Outcome]]:
    return predict_audio(
        files,
        classifier,
        context.extractor,
        at_once=CHUNK_ITEMS,
        within_s=CHUNK_S,
        should_stop=lambda: lease.should_stop,
        lane=str(shard.batch["client_id"]),
        on_read=tally.count_read,
    )


async def _together(files: Iterable[NamedFile], predict: Predict) -> AsyncGenerator[list[Outcome], None]:
    outcomes = predict(files)
    while chunk := await asyncio.to_thread(next, outcomes, None):
        yield chunk


async def _one_by_one(
    context: Context, shard: Shard, files: Iterable[NamedFile], predict: Predict, lease: Lease
) -> AsyncGenerator[list[Outcome], None]:
    """The item under way is known to the database: one that ends its worker again and again fails, and no other does.

    Until it is recorded nothing else is under way in this worker, so that nothing else can have ended it. A worker that
    dies before it begins a file says nothing of any.
    """
    await asyncio.to_thread(context.extractor.warm)
    tries_max = max(1, context.attempts_max - 1)  # once it was tried among others
    for item, file in zip(shard.own, files, strict=True):
        tries = shard.tries_alone(item)
        if tries >= tries_max:
            error = AttemptsExhausted(tries + 1)
            yield [TrackFailure(file.key, error.code, error.message)]
            continue
        async with context.solitude.alone():
            lease.check()
            async with context.database.transaction() as connection:
                await jobs.hold(connection, lease.claim)
                await shards.suspect(connection, lease.claim.job_id, position=item["position"], tries=tries + 1)
            async for chunk in _together([file], predict):
                yield chunk
