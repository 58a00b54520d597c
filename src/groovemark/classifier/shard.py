"""A part of a batch while it is worked on: its items, and what it sums up."""

from __future__ import annotations

import uuid
from collections import defaultdict
from collections.abc import Mapping, Sequence
from threading import Lock
from typing import Any

from sqlalchemy import RowMapping
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.classifier.item_files import key_of
from groovemark.db import batches, items, jobs, models
from groovemark.db.models import ModelRow
from groovemark.ml.drift.summary import SAMPLE_ROWS, InputSummary
from groovemark.ml.models.base import Classifier
from groovemark.ml.predict import TrackFailure, TrackPrediction

Outcome = TrackPrediction | TrackFailure


class Shard:
    """The items still to do: `own`, worked on for themselves, and the copies of each that get the same result."""

    def __init__(self, batch: RowMapping, job: RowMapping, model: ModelRow, pending: Sequence[RowMapping]) -> None:
        self.batch, self.job, self.model = batch, job, model
        self.own = [item for item in pending if item["same_as"] is None]
        self._copies: defaultdict[int, list[RowMapping]] = defaultdict(list)
        for item in pending:
            if item["same_as"] is not None:
                self._copies[item["same_as"]].append(item)
        self._by_key = {key_of(item): item for item in self.own}

    def equals(self, key: str) -> list[RowMapping]:
        """The items that the outcome of a file is for."""
        item = self._by_key[key]
        return [item, *self._copies[item["position"]]]

    def tries_alone(self, item: RowMapping) -> int:
        """How often a worker died while this one of its items was under way and no other."""
        suspect = (self.job["metrics"] or {}).get("suspect")
        return int(suspect["tries"]) if suspect is not None and suspect["position"] == item["position"] else 0


async def load_shard(connection: AsyncConnection, job_id: uuid.UUID) -> Shard | None:
    """None where its batch is gone."""
    job = await jobs.get(connection, job_id)
    batch = await batches.get(connection, job["batch_id"])
    if batch is None:
        return None
    if batch["state"] == "queued":
        await batches.start(connection, batch["id"])
    model = await models.get(connection, batch["model_version_id"])
    first, last = job["first_position"], job["last_position"]
    return Shard(batch, job, model, await items.pending(connection, batch["id"], first=first, last=last))


class Tally:
    """What a shard sums up, in this attempt and those before: its input, its files, and how many of them were read."""

    def __init__(self, classifier: Classifier, shard: Shard) -> None:
        spec = classifier.spec
        share = min(1.0, SAMPLE_ROWS / max(1, shard.batch["items_total"]))
        self.summary = InputSummary(spec.features, spec.labels, sample_share=share, seed=shard.job["first_position"])
        self._files, self._files_read = 0, 0
        self._lock = Lock()
        if (before := shard.job["metrics"]) is not None and "summary" in before:
            self.summary.add_state(before["summary"])
            self._files, self._files_read = before["files"], before["files_read"]

    def count_read(self) -> None:
        """A file is being read, whose features were not known. Called in threads."""
        with self._lock:
            self._files_read += 1

    def add(self, outcomes: Sequence[Outcome]) -> None:
        self._files += len(outcomes)
        for outcome in outcomes:
            if isinstance(outcome, TrackPrediction):
                self.summary.add(outcome.features, outcome.segments.argmax(axis=1))

    def metrics(self) -> Mapping[str, Any]:
        return {"summary": self.summary.state(), "files": self._files, "files_read": self._files_read}
