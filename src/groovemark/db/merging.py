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
    await connection.execute(
        """
        CREATE TEMPORARY TABLE landed ON COMMIT DROP AS
        SELECT staged_result.*, track.id AS track_id
        FROM staged_result JOIN track ON track.catalog_id = $1 AND track.external_id = staged_result.external_id
        """.replace("$1", str(int(target.catalog_id)))  # CREATE TABLE AS takes no parameters
    )
    await connection.execute("ANALYZE landed (track_id)")
    await connection.execute(
        """
        INSERT INTO prediction (batch_id, position, track_id, model_version_id, label, confidence, probabilities,
                                segments, created_at)
        SELECT $1, position, track_id, $2, label, confidence, probabilities, segments, clock_timestamp() FROM landed
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
    """Before the labels: what a track was known as until now is taken off."""
    await connection.execute(
        """
        WITH winner AS (
            SELECT DISTINCT ON (track_id) track_id, label FROM landed ORDER BY track_id, position DESC
        ), change AS (
            SELECT label, count(*) AS tracks FROM winner GROUP BY label
            UNION ALL
            SELECT known.label, -count(*) FROM winner JOIN current_label known USING (track_id)
            WHERE known.task = $2 GROUP BY known.label
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
        FROM (SELECT DISTINCT ON (track_id) track_id, label, title FROM landed
              ORDER BY track_id, position DESC) AS winner
        WHERE current_label.track_id = winner.track_id AND task = $1
          AND (current_label.label, current_label.title) IS DISTINCT FROM (winner.label, winner.title)
        """,
        target.task,
    )
    await connection.execute(
        """
        INSERT INTO current_label (track_id, task, catalog_id, label, title)
        SELECT DISTINCT ON (track_id) track_id, $2, $1::integer, label, title FROM landed
        WHERE NOT EXISTS (SELECT FROM current_label known
                          WHERE known.track_id = landed.track_id AND known.task = $2)
        ORDER BY track_id, position DESC
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
