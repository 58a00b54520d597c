"""From database rows to the shapes clients see."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import RowMapping

from groovemark.classifier.schema.batch import (
    Batch,
    BatchError,
    Counts,
    Item,
    ItemError,
    Links,
    Segment,
    SegmentList,
)

BATCHES_PATH = "/api/v1/classifier/batches"
_FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r")


def batch_path(batch_id: object) -> str:
    return f"{BATCHES_PATH}/{batch_id}"


def batch(row: RowMapping) -> Batch:
    path, error = batch_path(row["id"]), row["error"]
    return Batch(
        id=row["id"],
        state=row["state"],
        kind=row["kind"],
        task=row["task"],
        model=row["model"],
        on_error=row["on_error"],
        counts=Counts(
            rows_uploaded=row["rows_uploaded"],
            rows_w_na=row["rows_missing"],
            items=row["items_total"],
            succeeded=row["items_succeeded"],
            failed=row["items_failed"],
            cancelled=row["items_cancelled"],
        ),
        progress=_progress(row),
        rate_per_s=_rate_per_s(row),
        eta_s=_eta_s(row),
        cancel_requested=row["cancel_requested"],
        error=BatchError(code=error["code"], message=error["detail"]) if error else None,
        created_at=row["created_at"],
        started_at=row["started_at"],
        finished_at=row["finished_at"],
        links=Links(
            self=path,
            files=f"{path}/files",
            start=f"{path}/start",
            events=f"{path}/events",
            items=f"{path}/items",
            results=f"{path}/results",
            errors=f"{path}/errors",
            cancel=f"{path}/cancel",
            retry=f"{path}/retry",
        ),
    )


def _progress(row: RowMapping) -> float:
    """A CSV's is the share read of it; audio's is the share of the items that have ended."""
    if row["kind"] == "csv":
        return float(row["job_progress"] or 0)
    ended = row["items_succeeded"] + row["items_failed"] + row["items_cancelled"]
    return float(ended / row["items_total"]) if row["items_total"] else 0.0


def _rate_per_s(row: RowMapping) -> float | None:
    """Since the batch was last begun. Of a CSV nothing has ended before everything has."""
    ended = row["items_succeeded"] + row["items_failed"] - row["ended_before"]
    return round(ended / row["ran_s"], 3) if row["ran_s"] and ended else None


def _eta_s(row: RowMapping) -> float | None:
    """If it goes on as it has since it was last begun."""
    if row["state"] != "running" or not row["ran_s"]:
        return None
    if row["kind"] == "csv":
        share = _progress(row)
        return round(row["ran_s"] * (1 - share) / share, 1) if share else None
    rate = _rate_per_s(row)
    left = row["items_total"] - row["items_succeeded"] - row["items_failed"] - row["items_cancelled"]
    return round(left / rate, 1) if rate else None


def item(row: RowMapping) -> Item:
    fault = None
    if row["code"] is not None:
        fault = ItemError(code=row["code"], message=row["message"], column=row["column"])
    fields = {name: row[name] for name in Item.model_fields if name != "error"}
    if fields["confidence"] is not None:
        fields["confidence"] = _rounded(fields["confidence"])
    return Item(**fields, error=fault)


def timeline(batch: RowMapping, row: RowMapping) -> SegmentList:
    """A track of one window, or a row of a table, has one segment: the whole."""
    known = row["segments"] or {"window_s": None, "starts_s": [0.0], "probabilities": [row["probabilities"]]}
    segments = [
        _segment(start_s, dict(zip(batch["labels"], map(_rounded, probabilities), strict=True)))
        for start_s, probabilities in zip(known["starts_s"], known["probabilities"], strict=True)
    ]
    return SegmentList(
        position=row["position"], external_id=row["external_id"], window_s=known["window_s"], segments=segments
    )


def _segment(start_s: float, probabilities: dict[str, float]) -> Segment:
    label = max(probabilities, key=lambda name: probabilities[name])
    return Segment(start_s=start_s, label=label, confidence=probabilities[label], probabilities=probabilities)


class ResultRows:
    """Succeeded items of one batch as lines of a file."""

    def __init__(self, batch: RowMapping) -> None:
        # A batch whose model is not chosen yet has no succeeded items either.
        full_name: str = batch["model"] or "@"
        self._model, self._version = full_name.rsplit("@", 1)
        self._labels: Sequence[str] = batch["labels"] or ()

    @property
    def columns(self) -> list[str]:
        chances = [f"prob_{label}" for label in self._labels]
        return ["external_id", "title", "label", "confidence", *chances, "model", "model_version"]

    def values(self, row: RowMapping) -> list[Any]:
        return [
            row["external_id"],
            row["title"],
            row["label"],
            _rounded(row["confidence"]),
            *(_rounded(value) for value in row["probabilities"]),
            self._model,
            self._version,
        ]

    def json_lines(self, rows: Sequence[RowMapping]) -> Iterator[str]:
        columns = self.columns
        for row in rows:
            yield json.dumps(dict(zip(columns, self.values(row), strict=True)), ensure_ascii=False) + "\n"

    def csv_lines(self, rows: Sequence[RowMapping], *, header: bool) -> str:
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        if header:
            writer.writerow(self.columns)
        writer.writerows([_neutral(value) for value in self.values(row)] for row in rows)
        return text.getvalue()


def _rounded(probability: float) -> float:
    """Single precision has no more than seven digits to show."""
    return round(probability, 7)


def _neutral(value: Any) -> Any:
    """A spreadsheet must not take a title for a formula."""
    return f"'{value}" if isinstance(value, str) and value.startswith(_FORMULA_STARTS) else value
