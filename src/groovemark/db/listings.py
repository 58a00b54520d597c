"""What the catalog knows now: labels, and the titles that carry one."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db.tables import TITLE_START_CHARACTERS


@dataclass(frozen=True, slots=True)
class TitleKey:
    """Where a page ended: the next one starts behind it."""

    title: str
    track_id: int


async def labels(connection: AsyncConnection, *, catalog_id: int, task: str) -> list[str]:
    """Labels that at least one track carries, sorted."""
    found = await connection.execute(
        text("""
            SELECT label FROM label_count WHERE catalog_id = :catalog_id AND task = :task AND tracks > 0
            ORDER BY label COLLATE "C"
        """),
        {"catalog_id": catalog_id, "task": task},
    )
    return [row.label for row in found]


async def titles(
    connection: AsyncConnection, *, catalog_id: int, task: str, label: str, after: TitleKey | None, limit: int
) -> list[TitleKey]:
    """One keyset page of the titles of a label, sorted by title; equal titles stay apart by track."""
    # The row comparison starts with the index's own expression, so that a deep page costs what the first costs.
    start = f"left(title, {TITLE_START_CHARACTERS})"
    behind = f"AND ({start}, title, track_id) > (left(:title, {TITLE_START_CHARACTERS}), :title, :track_id)"
    found = await connection.execute(
        text(f"""
            SELECT title, track_id FROM current_label
            WHERE catalog_id = :catalog_id AND task = :task AND label = :label {behind if after else ""}
            ORDER BY {start}, title, track_id LIMIT :limit
        """),  # noqa: S608  only constants are spliced in
        {
            "catalog_id": catalog_id,
            "task": task,
            "label": label,
            "limit": limit,
            **({"title": after.title, "track_id": after.track_id} if after else {}),
        },
    )
    return [TitleKey(row.title, row.track_id) for row in found]
