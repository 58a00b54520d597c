"""G9: a deep page of titles by key against OFFSET, and the counter table against count(*), at a million tracks."""

from __future__ import annotations

import argparse
import asyncio
import time
from collections.abc import Awaitable, Callable
from statistics import median

import asyncpg
from sqlalchemy.ext.asyncio import AsyncConnection

from database import LABELS, add_catalog, fresh_database
from groovemark.db import listings
from groovemark.db.listings import TitleKey
from groovemark.db.session import connect, create_engine
from measure import machine, print_table, verdict

PAGE = 100
FLOOR_PAGE, FLOOR_COUNT = 50, 500

OFFSET = """
    SELECT title, track_id FROM current_label WHERE catalog_id = $1 AND task = 'genre' AND label = $2
    ORDER BY left(title, 500), title, track_id LIMIT $3 OFFSET $4
"""
COUNT = "SELECT label, count(*) FROM current_label WHERE catalog_id = $1 AND task = 'genre' GROUP BY label ORDER BY 1"


async def fill(connection: asyncpg.Connection, tracks: int) -> int:
    """A catalog with so many tracks of eight genres; its titles are spread over the alphabet."""
    catalog = await add_catalog(connection)
    await connection.execute(
        """
        INSERT INTO current_label (track_id, task, catalog_id, label, title)
        SELECT number, 'genre', $1, ($2::text[])[1 + number % 8], md5(number::text)
        FROM generate_series(1, $3) AS number
        """,
        catalog,
        list(LABELS),
        tracks,
    )
    await connection.execute(
        """
        INSERT INTO label_count (catalog_id, task, label, tracks)
        SELECT catalog_id, task, label, count(*) FROM current_label WHERE catalog_id = $1 GROUP BY 1, 2, 3
        """,
        catalog,
    )
    await connection.execute("VACUUM ANALYZE")
    return catalog


async def milliseconds(work: Callable[[], Awaitable[object]], rounds: int) -> float:
    taken = []
    for _ in range(rounds):
        started = time.perf_counter()
        await work()
        taken.append(1e3 * (time.perf_counter() - started))
    return median(taken)


async def key_at(connection: asyncpg.Connection, catalog: int, label: str, offset: int) -> TitleKey:
    row = (await connection.fetch(OFFSET, catalog, label, 1, offset - 1))[0]
    return TitleKey(row["title"], row["track_id"])


async def compare(uri: str, tracks: int, rounds: int) -> bool:
    raw, engine = await connect(uri), create_engine(uri)
    catalog, label, offset = await fill(raw, tracks), LABELS[0], tracks // len(LABELS) // 2
    after = await key_at(raw, catalog, label, offset)
    async with engine.connect() as connection:
        by_key = await _keyset(connection, catalog, label, after)
        by_offset = await raw.fetch(OFFSET, catalog, label, PAGE, offset)
        assert [key.track_id for key in by_key] == [row["track_id"] for row in by_offset]
        taken = {
            "page by key": await milliseconds(lambda: _keyset(connection, catalog, label, after), rounds),
            "page by OFFSET": await milliseconds(lambda: raw.fetch(OFFSET, catalog, label, PAGE, offset), rounds),
            "labels by counter": await milliseconds(
                lambda: listings.labels(connection, catalog_id=catalog, task="genre"), rounds
            ),
            "labels by count(*)": await milliseconds(lambda: raw.fetch(COUNT, catalog), rounds),
        }
    await raw.close()
    await engine.dispose()
    print(f"{machine()}; {tracks:,} tracks, page {offset // PAGE:,} of a genre")
    print_table(["way", "ms"], [[way, f"{value:.2f}"] for way, value in taken.items()])
    kept = [
        verdict("G9 deep page", taken["page by OFFSET"] / taken["page by key"], floor=FLOOR_PAGE),
        verdict("G9 counter", taken["labels by count(*)"] / taken["labels by counter"], floor=FLOOR_COUNT),
    ]
    return all(kept)


async def _keyset(connection: AsyncConnection, catalog: int, label: str, after: TitleKey) -> list[TitleKey]:
    return await listings.titles(connection, catalog_id=catalog, task="genre", label=label, after=after, limit=PAGE)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--tracks", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args()
    with fresh_database() as uri:
        return not asyncio.run(compare(uri, arguments.tracks, arguments.rounds))


if __name__ == "__main__":
    raise SystemExit(main())
