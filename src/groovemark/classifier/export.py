"""A finished batch's results as a Parquet file in the store."""

from __future__ import annotations

import asyncio
import uuid
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from groovemark.classifier.present import ResultRows
from groovemark.context import Context
from groovemark.db import batches, items, jobs, result_files
from groovemark.errors import Gone
from groovemark.keeping import check_kept
from groovemark.lease import Lease

if TYPE_CHECKING:
    import pyarrow as pa

ROWS_A_GROUP = 10_000


async def export_results(context: Context, batch_id: uuid.UUID, catalog_id: int, lease: Lease) -> None:
    """Write the file page by page, store it, and tell whoever waits."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    async with context.database.transaction() as connection:
        batch = await batches.find(connection, batch_id, catalog_id=catalog_id)
    if batch is None:
        raise Gone("The batch was removed after its time.")
    rows_of = ResultRows(batch)
    schema = _schema(rows_of.columns)
    with TemporaryDirectory(dir=context.storage.incoming) as folder:
        path = Path(folder) / "results.parquet"
        with pq.ParquetWriter(path, schema) as writer:
            after: int | None = None
            while True:
                async with context.database.transaction() as connection:
                    rows = await items.results(connection, batch_id, after=after, limit=ROWS_A_GROUP)
                if not rows:
                    break
                lease.check()
                columns = zip(*(rows_of.values(row) for row in rows), strict=True)
                table = pa.table([pa.array(column) for column in columns], schema=schema)
                await asyncio.to_thread(writer.write_table, table)
                after = rows[-1]["position"]
        stored = await asyncio.to_thread(context.storage.put_file, path)
    async with context.database.transaction() as connection:
        await jobs.hold(connection, lease.claim)
        await check_kept(connection, context.storage, [stored.sha256])
        await result_files.complete(connection, lease.claim.job_id, sha256=stored.sha256, size_bytes=stored.size_bytes)
        await jobs.finish(connection, lease.claim, "succeeded")


def _schema(columns: list[str]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [(name, pa.float64() if name == "confidence" or name.startswith("prob_") else pa.string()) for name in columns]
    )
