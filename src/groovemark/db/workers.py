"""Living workers, for readiness."""

from __future__ import annotations

import os
import socket
import uuid

from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncConnection

BEAT_EVERY_S = 2.0
DEAD_AFTER_S = 3 * BEAT_EVERY_S


async def beat(connection: AsyncConnection, worker_id: uuid.UUID) -> None:
    """This worker lives and has its models."""
    await connection.execute(
        text("""
            INSERT INTO worker (id, host, pid) VALUES (:id, :host, :pid)
            ON CONFLICT (id) DO UPDATE SET heartbeat_at = clock_timestamp()
        """),
        {"id": worker_id, "host": socket.gethostname(), "pid": os.getpid()},
    )


async def forget_dead(connection: AsyncConnection) -> int:
    """Those silent for an hour, who did not say that they left."""
    found = await connection.execute(
        text("DELETE FROM worker WHERE heartbeat_at < clock_timestamp() - interval '1 hour'")
    )
    return int(found.rowcount)


async def leave(connection: AsyncConnection, worker_id: uuid.UUID) -> None:
    await connection.execute(text("DELETE FROM worker WHERE id = :id"), {"id": worker_id})


async def any_alive(connection: AsyncConnection) -> bool:
    found = await connection.scalar(
        text("""
            SELECT EXISTS (SELECT FROM worker
                           WHERE heartbeat_at > clock_timestamp() - make_interval(secs => :dead_after_s))
        """),
        {"dead_after_s": DEAD_AFTER_S},
    )
    return bool(found)
