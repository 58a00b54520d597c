"""A PostgreSQL of its own for a benchmark, with groovemark's tables."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

import asyncpg

from groovemark.cli.db import upgrade_schema
from groovemark.db import embedded
from groovemark.db.predictions import Target

LABELS = ("classic pop and rock", "dance and electronica", "folk", "jazz and blues", "metal", "pop", "punk", "soul")


@contextmanager
def fresh_database() -> Iterator[str]:
    """The URI of an embedded server with the current schema, gone at the end."""
    with TemporaryDirectory(prefix="groovemark-bench-") as folder:
        home = Path(folder)
        home.chmod(0o755)
        try:
            uri = embedded.start(home).uri
            upgrade_schema(uri)
            yield uri
        finally:
            embedded.stop(home)


async def add_catalog(connection: asyncpg.Connection) -> int:
    """A new catalog's id."""
    return int(await connection.fetchval("INSERT INTO catalog (name) VALUES ($1) RETURNING id", uuid.uuid4().hex))


async def add_model(connection: asyncpg.Connection) -> int:
    """A new model version's id."""
    return int(
        await connection.fetchval(
            """
            INSERT INTO model_version (name, version, state, family, task, labels, features, columns, takes_audio,
                                       size_bytes, metrics)
            VALUES ($1, '1', 'active', 'boosting', 'genre', $2, 'fma-42', '{}', true, 0, '{}') RETURNING id
            """,
            uuid.uuid4().hex,
            list(LABELS),
        )
    )


async def add_batch(connection: asyncpg.Connection, catalog_id: int, model_version_id: int) -> Target:
    """A running batch of the catalog, to write results into."""
    job_id, batch_id = uuid.uuid4(), uuid.uuid4()
    await connection.execute(
        "INSERT INTO job (id, kind, catalog_id, state) VALUES ($1, 'classify', $2, 'running')", job_id, catalog_id
    )
    await connection.execute(
        """
        INSERT INTO batch (id, catalog_id, client_id, job_id, kind, task, on_error, state)
        VALUES ($1, $2, 'bench', $3, 'csv', 'genre', 'skip', 'running')
        """,
        batch_id,
        catalog_id,
        job_id,
    )
    return Target(batch_id, catalog_id, "genre", model_version_id)
