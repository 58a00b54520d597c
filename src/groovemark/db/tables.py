"""The tables. The word model means a trained model; these classes are tables.

batch ── batch_item ── prediction        what was submitted, and what came of each item
  └── job                                who works on it, or on a part of it (the queue's row carries only the job's id)
catalog ── track ── current_label        what is known now; label_count counts it per label
client ── idempotency_key                answers to POST requests that may be sent again
  └── webhook_endpoint ── webhook_delivery

The tables that take a row for every item (batch_item, track, prediction, current_label) have no foreign keys: checking
them row by row was half of the time of storing a batch. They are written in one transaction with what they refer to.
"""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

from sqlalchemy import (
    REAL,
    BigInteger,
    CheckConstraint,
    DateTime,
    ForeignKey,
    Identity,
    Index,
    Integer,
    LargeBinary,
    Text,
    UniqueConstraint,
    Uuid,
    false,
    func,
    text,
)
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from groovemark.db.lifecycle import BATCH, DELIVERY, ITEM, JOB

MODEL_STATES = ("uploaded", "validated", "active", "archived")
SEVERITIES = ("error", "warning")
TITLE_START_CHARACTERS = 500
"""At most 2,000 bytes: what an index row can hold of a title."""


def _one_of(column: str, values: tuple[str, ...]) -> CheckConstraint:
    listed = ", ".join(f"'{value}'" for value in values)
    return CheckConstraint(f"{column} IN ({listed})", name=f"{column}_known")


class Base(DeclarativeBase):
    type_annotation_map = {  # noqa: RUF012  SQLAlchemy's own protocol
        str: Text,
        datetime: DateTime(timezone=True),
        dict[str, Any]: JSONB,
        list[str]: ARRAY(Text),
        list[float]: ARRAY(REAL),
        uuid.UUID: Uuid,
    }


def _now() -> Mapped[datetime]:
    return mapped_column(server_default=func.now())


class Catalog(Base):
    """The tenant: its clients share tracks, no other client ever sees them."""

    __tablename__ = "catalog"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    name: Mapped[str] = mapped_column(unique=True)
    created_at: Mapped[datetime] = _now()


class Client(Base):
    """An integration that may call the API. `rate_limit_per_minute` null means unlimited."""

    __tablename__ = "client"
    id: Mapped[str] = mapped_column(primary_key=True)
    catalog_id: Mapped[int] = mapped_column(ForeignKey("catalog.id"))
    scopes: Mapped[list[str]]
    rate_limit_per_minute: Mapped[int | None]
    created_at: Mapped[datetime] = _now()
    revoked_at: Mapped[datetime | None]


class ClientSecret(Base):
    """The SHA-256 of a secret. 256 random bits need no slow hash; at most two are live, for rotation."""

    __tablename__ = "client_secret"
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), index=True)
    sha256: Mapped[bytes] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = _now()
    last_used_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]


class Job(Base):
    """A piece of long work. The lease lives on the database's clock; whoever holds its token may write.

    A shard, a job on some items of a batch, names their first and last position. Jobs are begun in the order of `turn`,
    which shares the workers between clients. `metrics`: what a shard sums up for its batch.
    """

    __tablename__ = "job"
    __table_args__ = (
        _one_of("state", tuple(JOB)),
        Index("job_newest_turn", "kind", "turn", postgresql_where=text("started_at IS NOT NULL")),
        Index("job_last_turn_of_client", "client_id", "kind", text("turn DESC")),
        Index("job_unfinished", "created_at", postgresql_where=text("state IN ('queued', 'running')")),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    kind: Mapped[str]
    catalog_id: Mapped[int] = mapped_column(ForeignKey("catalog.id"), index=True)
    client_id: Mapped[str | None]
    batch_id: Mapped[uuid.UUID | None] = mapped_column(index=True)
    first_position: Mapped[int | None]
    last_position: Mapped[int | None]
    turn: Mapped[int] = mapped_column(Integer, server_default=text("0"))
    state: Mapped[str] = mapped_column(server_default="queued")
    progress: Mapped[float] = mapped_column(server_default=text("0"))
    metrics: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    attempt: Mapped[int] = mapped_column(server_default=text("0"))
    lease_token: Mapped[uuid.UUID | None]
    lease_until: Mapped[datetime | None]
    heartbeat_at: Mapped[datetime | None]
    cancel_requested: Mapped[bool] = mapped_column(server_default=false())
    created_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]


class ModelVersion(Base):
    """One installed version of a model. `catalog_id` null: shipped, for everyone."""

    __tablename__ = "model_version"
    __table_args__ = (
        _one_of("state", MODEL_STATES),
        UniqueConstraint("catalog_id", "name", "version", postgresql_nulls_not_distinct=True),
    )
    id: Mapped[int] = mapped_column(Identity(), primary_key=True)
    catalog_id: Mapped[int | None] = mapped_column(ForeignKey("catalog.id"))
    name: Mapped[str]
    version: Mapped[str]
    alias: Mapped[str | None]
    state: Mapped[str]
    family: Mapped[str]
    task: Mapped[str]
    labels: Mapped[list[str]]
    features: Mapped[str]
    columns: Mapped[list[str]]
    takes_audio: Mapped[bool]
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any]]
    uses: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    last_used_at: Mapped[datetime | None]
    created_at: Mapped[datetime] = _now()


class Batch(Base):
    """One submission. Its counts always equal those of its items.

    `job_id`: the job that reads a CSV, or that finds out what the items are; null while the batch is open.
    `revision` grows with everything that a client can see of it. `uncounted_bytes`: of its CSV or its zips, of which
    nobody knows how many items they hold before they are read. `ended_before`: items that had ended when it was last
    queued.
    """

    __tablename__ = "batch"
    __table_args__ = (
        _one_of("state", tuple(BATCH)),
        CheckConstraint(
            "items_succeeded + items_failed + items_cancelled <= items_total", name="items_are_counted_once"
        ),
        Index("batch_newest_first", "catalog_id", text("created_at DESC"), text("id DESC")),
        Index("batch_unfinished", "client_id", postgresql_where=text("finished_at IS NULL")),
        Index("batch_finished", "finished_at", postgresql_where=text("finished_at IS NOT NULL")),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    catalog_id: Mapped[int] = mapped_column(ForeignKey("catalog.id"))
    client_id: Mapped[str]
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id"), unique=True)
    kind: Mapped[str]
    task: Mapped[str]
    state: Mapped[str] = mapped_column(server_default="queued")
    revision: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    cancel_requested: Mapped[bool] = mapped_column(server_default=false())
    on_error: Mapped[str]
    is_prepared: Mapped[bool] = mapped_column(server_default=false())
    model_requested: Mapped[str | None]
    model_version_id: Mapped[int | None] = mapped_column(ForeignKey("model_version.id"))
    rows_uploaded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    rows_missing: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    items_total: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    items_succeeded: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    items_failed: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    items_cancelled: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    uncounted_bytes: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    ended_before: Mapped[int] = mapped_column(BigInteger, server_default=text("0"))
    input_summary: Mapped[dict[str, Any] | None]
    error: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = _now()
    started_at: Mapped[datetime | None]
    finished_at: Mapped[datetime | None]
    uploads_removed_at: Mapped[datetime | None]


class Upload(Base):
    """One file of a batch, as the client sent it; the bytes lie in the store under their sha256."""

    __tablename__ = "upload"
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True)
    field: Mapped[str]
    file_name: Mapped[str]
    sha256: Mapped[str] = mapped_column(index=True)
    size_bytes: Mapped[int] = mapped_column(BigInteger)
    format: Mapped[str | None]
    created_at: Mapped[datetime] = _now()


class BatchItem(Base):
    """One row of a CSV or one audio file. `member` is its path inside a zip, `url` where it is to be fetched from.

    `same_as`: the position of an earlier item of the same bytes, whose result it gets.
    """

    __tablename__ = "batch_item"
    __table_args__ = (
        _one_of("state", tuple(ITEM)),
        # Nearly all items succeed, and are found by position.
        Index("batch_item_by_state", "batch_id", "state", "position", postgresql_where=text("state <> 'succeeded'")),
        Index("batch_item_same_as", "batch_id", "same_as", postgresql_where=text("same_as IS NOT NULL")),
    )
    batch_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    external_id: Mapped[str | None]
    title: Mapped[str | None]
    line: Mapped[int | None]
    upload_number: Mapped[int | None]
    member: Mapped[str | None]
    url: Mapped[str | None]
    same_as: Mapped[int | None]
    state: Mapped[str] = mapped_column(server_default="pending")


class BatchFault(Base):
    """One thing wrong in a batch: a bad cell, an undecodable file, or (warning) a superseded row."""

    __tablename__ = "batch_fault"
    __table_args__ = (
        _one_of("severity", SEVERITIES),
        Index("batch_fault_by_item", "batch_id", "position"),
        Index("batch_fault_by_severity", "batch_id", "severity", "number"),
    )
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"), primary_key=True)
    number: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    severity: Mapped[str]
    position: Mapped[int | None]
    item: Mapped[str | None]
    line: Mapped[int | None]
    column: Mapped[str | None]
    code: Mapped[str]
    message: Mapped[str]


class Track(Base):
    """A piece of music of a catalog."""

    __tablename__ = "track"
    __table_args__ = (UniqueConstraint("catalog_id", "external_id"),)
    id: Mapped[int] = mapped_column(BigInteger, Identity(), primary_key=True)
    catalog_id: Mapped[int]
    external_id: Mapped[str]
    title: Mapped[str]
    created_at: Mapped[datetime] = _now()
    updated_at: Mapped[datetime] = _now()


class Prediction(Base):
    """What a model said of an item, kept as long as its batch: exactly one for every succeeded item.

    `probabilities` are in the order of the model version's labels; `segments` hold one such list a window.
    """

    __tablename__ = "prediction"
    batch_id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    track_id: Mapped[int] = mapped_column(BigInteger)
    model_version_id: Mapped[int]
    label: Mapped[str]
    confidence: Mapped[float] = mapped_column(REAL)
    probabilities: Mapped[list[float]]
    segments: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = _now()


class CurrentLabel(Base):
    """The newest label of a track for a task; the title is repeated so that one index serves the listing.

    The index holds the start of the title alone, because a title may be longer than an index row; under the
    C collation (start, title) sorts exactly as title does.
    """

    __tablename__ = "current_label"
    __table_args__ = (
        Index(
            "current_label_listing",
            "catalog_id",
            "task",
            "label",
            text(f"left(title, {TITLE_START_CHARACTERS})"),
            "track_id",
        ),
    )
    track_id: Mapped[int] = mapped_column(BigInteger, primary_key=True, autoincrement=False)
    task: Mapped[str] = mapped_column(primary_key=True)
    catalog_id: Mapped[int] = mapped_column(Integer)
    label: Mapped[str]
    title: Mapped[str] = mapped_column(Text(collation="C"))


class LabelCount(Base):
    """How many tracks of a catalog carry a label now; kept in the transaction that changes the labels."""

    __tablename__ = "label_count"
    catalog_id: Mapped[int] = mapped_column(ForeignKey("catalog.id"), primary_key=True)
    task: Mapped[str] = mapped_column(primary_key=True)
    label: Mapped[str] = mapped_column(primary_key=True)
    tracks: Mapped[int] = mapped_column(BigInteger)


class ResultFile(Base):
    """A finished batch's results as a file that a worker wrote into the store."""

    __tablename__ = "result_file"
    batch_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("batch.id", ondelete="CASCADE"), primary_key=True)
    format: Mapped[str] = mapped_column(primary_key=True)
    job_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("job.id"))
    sha256: Mapped[str | None]
    size_bytes: Mapped[int | None] = mapped_column(BigInteger)


class Worker(Base):
    """A living worker process; readiness asks for one that has loaded its models."""

    __tablename__ = "worker"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    host: Mapped[str]
    pid: Mapped[int]
    started_at: Mapped[datetime] = _now()
    heartbeat_at: Mapped[datetime] = _now()


class IdempotencyKey(Base):
    """A POST request that its client may send again, and the first answer to it.

    While it runs, its process holds it until `running_until`. `fingerprint`: SHA-256 of what was asked; it is there,
    with an answer, from the transaction on that did what was asked.
    """

    __tablename__ = "idempotency_key"
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), primary_key=True)
    key: Mapped[str] = mapped_column(primary_key=True)
    token: Mapped[uuid.UUID]
    running_until: Mapped[datetime]
    fingerprint: Mapped[bytes | None] = mapped_column(LargeBinary)
    response_status: Mapped[int | None]
    response_headers: Mapped[dict[str, Any] | None]
    response_body: Mapped[bytes | None] = mapped_column(LargeBinary)
    created_at: Mapped[datetime] = mapped_column(server_default=func.now(), index=True)


class WebhookEndpoint(Base):
    """Where a client wants to be told of the ends of its batches.

    Its secret is derived from the service's key, never stored; the hash tells whether a worker has the same key.
    """

    __tablename__ = "webhook_endpoint"
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    catalog_id: Mapped[int] = mapped_column(ForeignKey("catalog.id"))
    client_id: Mapped[str] = mapped_column(ForeignKey("client.id", ondelete="CASCADE"), index=True)
    url: Mapped[str]
    created_at: Mapped[datetime] = _now()
    secret_number: Mapped[int] = mapped_column(server_default=text("1"))
    secret_sha256: Mapped[bytes] = mapped_column(LargeBinary)
    rotated_at: Mapped[datetime | None]


class WebhookDelivery(Base):
    """One message to one endpoint, recorded in the transaction that made it true."""

    __tablename__ = "webhook_delivery"
    __table_args__ = (
        _one_of("state", tuple(DELIVERY)),
        Index("webhook_delivery_newest_first", "endpoint_id", text("created_at DESC"), text("id DESC")),
    )
    id: Mapped[uuid.UUID] = mapped_column(primary_key=True)
    endpoint_id: Mapped[uuid.UUID] = mapped_column(ForeignKey("webhook_endpoint.id", ondelete="CASCADE"))
    job_id: Mapped[uuid.UUID | None] = mapped_column(ForeignKey("job.id", ondelete="SET NULL"), unique=True)
    event: Mapped[str]
    payload: Mapped[dict[str, Any]]
    state: Mapped[str] = mapped_column(server_default="pending")
    attempts: Mapped[int] = mapped_column(server_default=text("0"))
    response_status: Mapped[int | None]
    error: Mapped[str | None]
    created_at: Mapped[datetime] = _now()
    delivered_at: Mapped[datetime | None]
