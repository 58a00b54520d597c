"""Results as a download: JSON lines and CSV page by page from the database, Parquet from a file a worker wrote."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from typing import Literal

from fastapi.responses import StreamingResponse
from sqlalchemy import RowMapping
from starlette.concurrency import iterate_in_threadpool

from groovemark.classifier.kinds import EXPORT
from groovemark.classifier.present import ResultRows
from groovemark.db import batches, items, jobs, result_files
from groovemark.db.lifecycle import BATCH_ENDED
from groovemark.db.result_files import ResultFileRow
from groovemark.db.session import raw_connection
from groovemark.dependencies import Services
from groovemark.errors import Conflict, Gone, RequestRejected, Unavailable
from groovemark.queue import queue

ResultFormat = Literal["csv", "jsonl", "parquet"]
MEDIA_TYPES: dict[ResultFormat, str] = {
    "jsonl": "application/jsonl",
    "csv": "text/csv; charset=utf-8",
    "parquet": "application/vnd.apache.parquet",
}
_ACCEPTED: dict[str, ResultFormat] = {
    "application/jsonl": "jsonl",
    "application/x-ndjson": "jsonl",
    "application/json": "jsonl",
    "application/*": "jsonl",
    "*/*": "jsonl",
    "text/csv": "csv",
    "text/*": "csv",
    "application/vnd.apache.parquet": "parquet",
}
ROWS_A_PAGE = 2_000
FILE_WAIT_S = 30.0
FILE_POLL_S = 0.1


def negotiate(accept: str | None) -> ResultFormat:
    """The format that the Accept header likes best, of equals the first; JSON lines without one."""
    choices = [_preference(choice) for choice in (accept or "*/*").split(",")]
    for quality, name in sorted(choices, key=lambda choice: -choice[0]):
        if quality > 0 and name in _ACCEPTED:
            return _ACCEPTED[name]
    raise RequestRejected(f"Accept must be one of {', '.join(MEDIA_TYPES.values())}.")


def _preference(choice: str) -> tuple[float, str]:
    """Quality and media type of one part of an Accept header."""
    name, *parameters = (part.strip().lower() for part in choice.split(";"))
    quality = next((part[2:] for part in parameters if part.startswith("q=")), "1")
    try:
        return float(quality), name
    except ValueError:
        return 1.0, name


async def download(services: Services, batch: RowMapping, file_format: ResultFormat) -> StreamingResponse:
    """Stream the succeeded items in constant memory; no connection is held while the client reads."""
    if file_format == "parquet":
        content: AsyncIterator[str | bytes] = await _written_file(services, batch)
    else:
        content = _lines(services, batch, file_format, await _page(services, batch, None))
    return StreamingResponse(
        content,
        media_type=MEDIA_TYPES[file_format],
        headers={"Content-Disposition": f'attachment; filename="{batch["id"]}.{file_format}"'},
    )


async def _lines(
    services: Services, batch: RowMapping, file_format: ResultFormat, rows: Sequence[RowMapping]
) -> AsyncIterator[str | bytes]:
    """`rows`: the first page. A batch that is removed meanwhile breaks the download off, for the client to see."""
    rows_of = ResultRows(batch)
    if file_format == "csv":
        yield rows_of.csv_lines([], header=True)
    while rows:
        if file_format == "csv":
            yield rows_of.csv_lines(rows, header=False)
        else:
            yield "".join(rows_of.json_lines(rows))
        rows = await _page(services, batch, rows[-1]["position"])


async def _page(services: Services, batch: RowMapping, after: int | None) -> Sequence[RowMapping]:
    async with services.database.transaction() as connection:
        rows = await items.results(connection, batch["id"], after=after, limit=ROWS_A_PAGE)
        if not await batches.stay(connection, batch["id"]):
            raise _removed()
    return rows


def _removed() -> Gone:
    return Gone("The batch was removed after its time.")


async def _written_file(services: Services, batch: RowMapping) -> AsyncIterator[bytes]:
    if batch["state"] not in BATCH_ENDED:
        raise Conflict(f"The batch is {batch['state']}; Parquet is written at its end. Read results.jsonl until then.")
    written = await _request_file(services, batch)
    assert written.sha256 is not None  # noqa: S101  _request_file waits for it
    return iterate_in_threadpool(services.storage.pieces(written.sha256))


async def _request_file(services: Services, batch: RowMapping) -> ResultFileRow:
    """Have a worker write the file, unless it is there, and wait for it."""
    async with services.database.transaction() as connection:
        if not await batches.stay(connection, batch["id"]):
            raise _removed()
        found = await result_files.find(connection, batch["id"], "parquet")
        if found is None or found.job_state in ("failed", "cancelled"):
            job = await jobs.create(
                connection, kind=EXPORT, catalog_id=batch["catalog_id"], client_id=batch["client_id"]
            )
            if await result_files.request(connection, batch["id"], "parquet", job_id=job.id):
                await queue.enqueue(await raw_connection(connection), EXPORT, [job])
            else:
                await jobs.discard(connection, job.id)
    for _ in range(int(FILE_WAIT_S / FILE_POLL_S)):
        async with services.database.transaction() as connection:
            found = await result_files.find(connection, batch["id"], "parquet")
        if found is None:
            raise _removed()
        if found.sha256 is not None:
            return found
        if found.job_state == "failed":
            break
        await asyncio.sleep(FILE_POLL_S)
    raise Unavailable("The Parquet file is not written yet; ask again in a moment.")
