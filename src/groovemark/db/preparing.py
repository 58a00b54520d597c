"""What is settled about a batch's items before any is worked on, in statements that do not care how many they are."""

from __future__ import annotations

import uuid
from collections.abc import AsyncIterable, Iterable
from dataclasses import dataclass

import asyncpg

from groovemark.db.predictions import DUPLICATE_CODE, next_fault_number

UNMATCHED_CODE = "manifest_without_file"


@dataclass(frozen=True, slots=True)
class Archive:
    """An uploaded zip."""

    number: int
    sha256: str


async def archives(connection: asyncpg.Connection, batch_id: uuid.UUID) -> list[Archive]:
    found = await connection.fetch(
        """
        SELECT number, sha256 FROM upload
        WHERE batch_id = $1 AND field = 'files' AND format = 'zip' ORDER BY number
        """,
        batch_id,
    )
    return [Archive(row["number"], row["sha256"]) for row in found]


async def manifests(connection: asyncpg.Connection, batch_id: uuid.UUID) -> list[str]:
    """The SHA-256 of each, as they came."""
    found = await connection.fetch(
        "SELECT sha256 FROM upload WHERE batch_id = $1 AND field = 'manifest' ORDER BY number", batch_id
    )
    return [row["sha256"] for row in found]


async def upload_sizes(connection: asyncpg.Connection, batch_id: uuid.UUID) -> list[int]:
    """In bytes, of the uploads that are items themselves; each size once."""
    found = await connection.fetch(
        """
        SELECT DISTINCT size_bytes FROM upload
        WHERE batch_id = $1 AND field = 'files' AND format IS DISTINCT FROM 'zip'
        """,
        batch_id,
    )
    return [row["size_bytes"] for row in found]


async def apply_manifest(
    connection: asyncpg.Connection, batch_id: uuid.UUID, entries: AsyncIterable[tuple[str, str | None, str | None]]
) -> None:
    """Ids and titles from (file, external_id, title); a file that the batch lacks becomes a warning.

    Of several entries for a file the last one counts.
    """
    await connection.execute("""
        CREATE TEMPORARY TABLE manifest_entry (
            file text, external_id text, title text, number integer GENERATED ALWAYS AS IDENTITY
        ) ON COMMIT DROP
    """)
    await connection.copy_records_to_table("manifest_entry", records=entries, columns=("file", "external_id", "title"))
    await connection.execute("ANALYZE manifest_entry")
    await connection.execute("""
        DELETE FROM manifest_entry earlier USING manifest_entry later
        WHERE later.file = earlier.file AND later.number > earlier.number
    """)
    await connection.execute(
        """
        CREATE TEMPORARY TABLE named_item ON COMMIT DROP AS
        SELECT position, coalesce(member, url, file_name) AS file FROM batch_item
        LEFT JOIN upload ON upload.batch_id = batch_item.batch_id AND upload.number = upload_number
        WHERE batch_item.batch_id = $1
        """,
        batch_id,
    )
    await connection.execute(
        """
        UPDATE batch_item SET external_id = coalesce(entry.external_id, named.file), title = entry.title
        FROM named_item named JOIN manifest_entry entry USING (file)
        WHERE batch_id = $1 AND batch_item.position = named.position
        """,
        batch_id,
    )
    await connection.execute(
        """
        INSERT INTO batch_fault (batch_id, number, severity, item, code, message)
        SELECT $1, $2 + row_number() OVER (ORDER BY file) - 1, 'warning', file, $3,
               'the manifest names a file that the batch does not hold'
        FROM manifest_entry entry WHERE NOT EXISTS (SELECT FROM named_item named WHERE named.file = entry.file)
        """,
        batch_id,
        await next_fault_number(connection, batch_id),
        UNMATCHED_CODE,
    )


async def settle_equal_ids(connection: asyncpg.Connection, batch_id: uuid.UUID) -> int:
    """Two files of one id would silently be one track: the last is taken, the others fail and say why; how many.

    The last of all, that may have succeeded: others of its id that failed and are tried again fail again.
    """
    await _forbid_nested_loops(connection)
    failed = await connection.fetchval(
        """
        WITH ranked AS (
            SELECT position, max(position) OVER (PARTITION BY external_id) AS last FROM batch_item
            WHERE batch_id = $1 AND state <> 'cancelled'
        ), failed AS (
            UPDATE batch_item SET state = 'failed' FROM ranked
            WHERE batch_id = $1 AND batch_item.position = ranked.position AND ranked.position <> ranked.last
              AND state = 'pending'
            RETURNING batch_item.position, batch_item.external_id
        ), told AS (
            INSERT INTO batch_fault (batch_id, number, severity, position, item, code, message)
            SELECT $1, $2 + row_number() OVER (ORDER BY position) - 1, 'error', position, external_id, $3,
                   'a later file of the batch has the same id; give each an id of its own with a manifest'
            FROM failed
        )
        SELECT count(*) FROM failed
        """,
        batch_id,
        await next_fault_number(connection, batch_id),
        DUPLICATE_CODE,
    )
    return int(failed)


async def link_equal_content(
    connection: asyncpg.Connection, batch_id: uuid.UUID, member_sha256: Iterable[tuple[int, str]]
) -> None:
    """Items of the same bytes are worked on once: the later ones point to the first.

    Args:
        member_sha256: (position, SHA-256) of those members of zips that may be copies; uploads' are known.
    """
    await connection.execute("CREATE TEMPORARY TABLE member_content (position integer, sha256 text) ON COMMIT DROP")
    await connection.copy_records_to_table("member_content", records=member_sha256)
    await connection.execute("ANALYZE member_content")
    await _forbid_nested_loops(connection)
    await connection.execute(
        """
        WITH content AS (
            SELECT item.position,
                   coalesce(member_content.sha256, CASE WHEN member IS NULL THEN upload.sha256 END, url) AS content
            FROM batch_item item LEFT JOIN member_content USING (position)
            LEFT JOIN upload ON upload.batch_id = item.batch_id AND upload.number = upload_number
            WHERE item.batch_id = $1 AND state = 'pending'
        ), ranked AS (
            SELECT position, min(position) OVER (PARTITION BY content) AS first FROM content WHERE content IS NOT NULL
        )
        UPDATE batch_item SET same_as = first FROM ranked
        WHERE batch_id = $1 AND batch_item.position = ranked.position AND ranked.position <> first
        """,
        batch_id,
    )


async def _forbid_nested_loops(connection: asyncpg.Connection) -> None:
    """For the rest of the transaction.

    Of items that were made in it there are no statistics: the planner expects one, and compares each with each.
    """
    await connection.execute("SET LOCAL enable_nestloop = off")
