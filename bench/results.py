"""G8: writing results of a batch (COPY, then one merge) against the ORM's add_all, both to the same tables."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable
from statistics import median

import asyncpg
from sqlalchemy import select
from sqlalchemy.ext.asyncio import AsyncEngine, AsyncSession

from database import LABELS, add_batch, add_catalog, add_model, fresh_database
from groovemark.db import merging, predictions
from groovemark.db.predictions import Result, Target
from groovemark.db.session import connect, create_engine
from groovemark.db.tables import BatchItem, CurrentLabel, Prediction, Track
from measure import machine, print_table, verdict

FLOOR, STRETCH = 12, 18
BLOCK_ROWS = 5_000
CHANCES = [0.125] * len(LABELS)


def make_rows(count: int) -> list[Result]:
    return [
        Result(line, line, str(line), f"Title of track {line}", LABELS[line % 8], 0.125, CHANCES)
        for line in range(2, count + 2)
    ]


async def write_with_copy(connection: asyncpg.Connection, target: Target, rows: list[Result]) -> None:
    """As the worker does it; the second time around the same rows are replaced."""
    async with connection.transaction():
        await predictions.open_stage(connection)
        for start in range(0, len(rows), BLOCK_ROWS):
            await predictions.stage(connection, rows[start : start + BLOCK_ROWS])
        await predictions.supersede(connection, target)
        await predictions.add_items(connection, target)
        await merging.merge(connection, target)


async def write_with_orm(engine: AsyncEngine, target: Target, rows: list[Result]) -> None:
    """The same end in the way of a textbook: objects, add_all, commit. It cannot even replace rows."""
    async with AsyncSession(engine) as session:
        for start in range(0, len(rows), BLOCK_ROWS):
            block = rows[start : start + BLOCK_ROWS]
            tracks = [
                Track(catalog_id=target.catalog_id, external_id=row.external_id, title=row.title) for row in block
            ]
            session.add_all(tracks)
            await session.flush()
            for row, track in zip(block, tracks, strict=True):
                session.add_all(
                    [
                        BatchItem(
                            batch_id=target.batch_id,
                            position=row.position,
                            line=row.line,
                            external_id=row.external_id,
                            title=row.title,
                            state="succeeded",
                        ),
                        Prediction(
                            batch_id=target.batch_id,
                            position=row.position,
                            track_id=track.id,
                            model_version_id=target.model_version_id,
                            label=row.label,
                            confidence=row.confidence,
                            probabilities=row.probabilities,
                        ),
                        CurrentLabel(
                            track_id=track.id,
                            task=target.task,
                            catalog_id=target.catalog_id,
                            label=row.label,
                            title=row.title,
                        ),
                    ]
                )
            await session.flush()
            session.expunge_all()
        await session.commit()
        assert await session.scalar(select(Track.id).limit(1))


async def timed(work: Awaitable[None]) -> float:
    started = time.perf_counter()
    await work
    return time.perf_counter() - started


async def compare(uri: str, count: int, rounds: int) -> bool:
    rows = make_rows(count)
    connection, engine = await connect(uri), create_engine(uri)
    model = await add_model(connection)
    seconds: dict[str, list[float]] = {"ORM add_all": [], "first upload": [], "the same again": []}
    for _ in range(rounds):
        catalog = await add_catalog(connection)
        first, again = [await add_batch(connection, catalog, model) for _ in range(2)]
        other = await add_batch(connection, await add_catalog(connection), model)
        for way, work in (
            ("ORM add_all", write_with_orm(engine, other, rows)),
            ("first upload", write_with_copy(connection, first, rows)),
            ("the same again", write_with_copy(connection, again, rows)),
        ):
            seconds[way].append(await timed(work))
            # Every contender starts from rest, and none pays for the one before.
            await connection.execute("VACUUM ANALYZE")
            await connection.execute("CHECKPOINT")
    await connection.close()
    await engine.dispose()
    base = median(seconds["ORM add_all"])
    print(machine())
    print_table(
        ["way", "seconds", "rows/s", "ratio"],
        [
            [way, f"{median(taken):.2f}", f"{count / median(taken):,.0f}", f"{base / median(taken):.1f}"]
            for way, taken in seconds.items()
        ],
    )
    kept = [
        verdict(f"G8 {way} (stretch {STRETCH})", base / median(seconds[way]), floor=FLOOR)
        for way in ("first upload", "the same again")
    ]
    return all(kept)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=3)
    arguments = parser.parse_args()
    with fresh_database() as uri:
        return not asyncio.run(compare(uri, arguments.rows, arguments.rounds))


if __name__ == "__main__":
    raise SystemExit(main())
