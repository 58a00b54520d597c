"""Installed model versions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from sqlalchemy import RowMapping, bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

DEFAULT_TASK = "genre"
AUDIO_DEFAULT = "audio-default"
"""The alias of the model that answers for audio when a request names none."""


@dataclass(frozen=True, slots=True)
class ModelRow:
    """One installed version, as far as choosing and describing it needs."""

    id: int
    name: str
    version: str
    task: str
    labels: tuple[str, ...]
    features: str
    takes_audio: bool
    takes_tables: bool
    alias: str | None

    @property
    def full_name(self) -> str:
        return f"{self.name}@{self.version}"


@dataclass(frozen=True, slots=True)
class NewModel:
    """A shipped version, as its manifest describes it."""

    name: str
    version: str
    alias: str | None
    family: str
    task: str
    labels: tuple[str, ...]
    features: str
    columns: tuple[str, ...]
    takes_audio: bool
    size_bytes: int
    metrics: Mapping[str, Any]


async def install(connection: AsyncConnection, new: NewModel) -> None:
    """Make a shipped version known and active, replacing older ones of its name; safe to repeat."""
    await connection.execute(
        text("""
            UPDATE model_version SET state = 'archived', alias = NULL
            WHERE catalog_id IS NULL AND name = :name AND version <> :version AND state = 'active'
        """),
        {"name": new.name, "version": new.version},
    )
    statement = text("""
        INSERT INTO model_version (name, version, alias, state, family, task, labels, features, columns,
                                   takes_audio, size_bytes, metrics)
        VALUES (:name, :version, :alias, 'active', :family, :task, :labels, :features, :columns,
                :takes_audio, :size_bytes, :metrics)
        ON CONFLICT (catalog_id, name, version) DO UPDATE
        SET state = 'active', alias = excluded.alias, labels = excluded.labels, features = excluded.features,
            columns = excluded.columns, takes_audio = excluded.takes_audio, size_bytes = excluded.size_bytes,
            metrics = excluded.metrics
    """).bindparams(bindparam("metrics", type_=JSONB))
    values = {field.name: getattr(new, field.name) for field in fields(new)}
    await connection.execute(
        statement, {**values, "labels": list(new.labels), "columns": list(new.columns), "metrics": dict(new.metrics)}
    )


_SELECT = """
    SELECT id, name, version, task, labels, features, takes_audio, cardinality(columns) > 0 AS takes_tables, alias
    FROM model_version
"""


def _row(row: RowMapping) -> ModelRow:
    return ModelRow(**{**row, "labels": tuple(row["labels"])})


async def active(connection: AsyncConnection, *, catalog_id: int, task: str) -> list[ModelRow]:
    """What a client of the catalog can use for the task, the catalog's own models first."""
    found = await connection.execute(
        text(f"""{_SELECT}
            WHERE task = :task AND state = 'active' AND (catalog_id IS NULL OR catalog_id = :catalog_id)
            ORDER BY catalog_id NULLS LAST, alias NULLS LAST, name, id DESC
        """),
        {"task": task, "catalog_id": catalog_id},
    )
    return [_row(row) for row in found.mappings()]


async def get(connection: AsyncConnection, model_id: int) -> ModelRow:
    found = await connection.execute(text(f"{_SELECT} WHERE id = :id"), {"id": model_id})
    return _row(found.mappings().one())


async def tasks(connection: AsyncConnection, *, catalog_id: int) -> list[str]:
    """The tasks that some active model of the catalog can do."""
    found = await connection.execute(
        text("""
            SELECT DISTINCT task FROM model_version
            WHERE state = 'active' AND (catalog_id IS NULL OR catalog_id = :catalog_id) ORDER BY task
        """),
        {"catalog_id": catalog_id},
    )
    return [row.task for row in found]


async def record_use(connection: AsyncConnection, model_id: int, *, tracks: int) -> None:
    await connection.execute(
        text("UPDATE model_version SET uses = uses + :tracks, last_used_at = now() WHERE id = :id"),
        {"id": model_id, "tracks": tracks},
    )
