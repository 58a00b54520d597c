"""Between the store and the database: objects stay as long as a row refers to them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path

from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.db import retention
from groovemark.errors import StorageUnavailable
from groovemark.storage.base import Storage


async def check_kept(connection: AsyncConnection, storage: Storage, sha256s: Sequence[str]) -> None:
    """Call it in the transaction that refers to objects just committed to the store: none has been swept meanwhile.

    The sweep takes what nobody refers to; between the commit to the store and the one to the database that may be an
    old object whose bytes have come again. Raises StorageUnavailable, for the request to be sent again.
    """
    if not sha256s:
        return
    await retention.hold_sweep(connection)
    if await asyncio.to_thread(storage.missing, sha256s):
        raise StorageUnavailable("What was sent was removed before it could be recorded; send it again.")


@asynccontextmanager
async def fetched(storage: Storage, sha256: str) -> AsyncIterator[Path]:
    """The object as a local file meanwhile; fetching it blocks nobody else."""
    fetching = storage.fetch(sha256)
    path = await asyncio.to_thread(fetching.__enter__)
    try:
        yield path
    finally:
        await asyncio.to_thread(fetching.__exit__, None, None, None)
