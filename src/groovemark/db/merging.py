"""Staged results become tracks, predictions, current labels and counts, in the caller's transaction.

Merges of one catalog take turns, so that equal batches posted at once cannot deadlock and the counters always agree
with the labels. That they do also makes ON CONFLICT needless: what is there is updated and what is not is inserted,
which costs half as much.
"""

from __future__ import annotations

import asyncpg

from groovemark.db.predictions import Target


async def merge(connection: asyncpg.Connection, target: Target) -> None:
    """Merge what was staged, and empty the stage. Where a track stands twice, its last result is the current one."""
    await connection.execute("SELECT pg_advisory_xact_lock(42, $1)", target.catalog_id)
    await connection.execute("ANALYZE staged_result (external_id)")
    await _merge_tracks(connection, target)
    await connection.execute("""
        CREATE TEMPORARY TABLE landed (
            position integer, track_id bigint, title text, label text, known_label text, known_title text
        ) ON COMMIT DROP
    """)
    await connection.execute(
        """
        INSERT INTO landed
        SELECT position, track.id, staged_result.title, staged_result.label, known.label, known.title
        FROM staged_result JOIN track ON track.catalog_id = $1 AND track.external_id = staged_result.external_id
        LEFT JOIN current_label known ON known.track_id = track.id AND known.task = $2
        """,
        target.catalog_id,
        target.task,
    )
    await connection.execute("ANALYZE landed (track_id)")
    await connection.execute(
        """
        INSERT INTO prediction (batch_id, position, track_id, model_version_id, label, confidence, probabilities,
                                segments, created_at)
        SELECT $1, position, track_id, $2, staged_result.label, confidence, probabilities, segments, clock_timestamp()
        FROM staged_result JOIN landed USING (position)
        """,
        target.batch_id,
        target.model_version_id,
    )
    await _merge_counts(connection, target)
    await _merge_labels(connection, target)
    await connection.execute("DROP TABLE landed")
    await connection.execute("TRUNCATE staged_result")


async def _merge_tracks(connection: asyncpg.Connection, target: Target) -> None:
    await connection.execute(
        """
        UPDATE track SET title = winner.title, updated_at = now()
        FROM (SELECT DISTINCT ON (external_id) external_id, title FROM staged_result
              ORDER BY external_id, position DESC) AS winner
        WHERE track.catalog_id = $1 AND track.external_id = winner.external_id AND track.title <> winner.title
        """,
        target.catalog_id,
    )
    await connection.execute(
        """
        INSERT INTO track (catalog_id, external_id, title)
        SELECT DISTINCT ON (external_id) $1::integer, external_id, title FROM staged_result
        WHERE NOT EXISTS (SELECT FROM track
                          WHERE track.catalog_id = $1 AND track.external_id = staged_result.external_id)
        ORDER BY external_id, position DESC
        """,
        target.catalog_id,
    )


async def _merge_counts(connection: asyncpg.Connection, target: Target) -> None:
    """What a track was known as until now is taken off."""
    await connection.execute(
        """
        WITH winner AS (
            SELECT DISTINCT ON (track_id) label, known_label FROM landed ORDER BY track_id, position DESC
        ), change AS (
            SELECT label, count(*) AS tracks FROM winner GROUP BY label
            UNION ALL
            SELECT known_label, -count(*) FROM winner WHERE known_label IS NOT NULL GROUP BY known_label
        )
        INSERT INTO label_count (catalog_id, task, label, tracks)
        SELECT $1, $2, label, sum(tracks) FROM change GROUP BY label HAVING sum(tracks) <> 0
        ON CONFLICT (catalog_id, task, label) DO UPDATE SET tracks = label_count.tracks + excluded.tracks
        """,
        target.catalog_id,
        target.task,
    )


async def _merge_labels(connection: asyncpg.Connection, target: Target) -> None:
    await connection.execute(
        """
        UPDATE current_label SET label = winner.label, title = winner.title
        FROM (SELECT DISTINCT ON (track_id) * FROM landed WHERE known_label IS NOT NULL
              ORDER BY track_id, position DESC) AS winner
        WHERE current_label.track_id = winner.track_id AND task = $1
          AND (winner.label, winner.title) <> (winner.known_label, winner.known_title)
        """,
        target.task,
    )
    await connection.execute(
        """
        INSERT INTO current_label (track_id, task, catalog_id, label, title)
        SELECT DISTINCT ON (track_id) track_id, $2, $1::integer, label, title FROM landed
        WHERE known_label IS NULL ORDER BY track_id, position DESC
        """,
        target.catalog_id,
        target.task,
    )
    # A track has one title: the other tasks' listings show the new one too.
    await connection.execute(
        """
        UPDATE current_label SET title = track.title FROM landed JOIN track ON track.id = landed.track_id
        WHERE current_label.track_id = landed.track_id AND current_label.task <> $1
          AND current_label.title <> track.title
        """,
        target.task,
    )
