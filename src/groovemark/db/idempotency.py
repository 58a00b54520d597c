"""The keys of POST requests that may be sent again, and the first answers to them."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import bindparam, text
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.errors import KeyInUse

KEPT_S = 24 * 3600
"""So long a key stands for its first request; after that it is as good as new."""


@dataclass(frozen=True, slots=True)
class Hold:
    """The right to carry out the request of a key."""

    client_id: str
    key: str
    token: uuid.UUID


@dataclass(frozen=True, slots=True)
class Answer:
    """What was answered, to be answered again."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Done:
    """A request that was carried out before."""

    fingerprint: bytes
    answer: Answer


async def claim(connection: AsyncConnection, client_id: str, key: str, *, hold_s: float) -> Hold | Done:
    """Hold a key that is new, or forgotten, or whose request ended with nothing done; else what was done.

    Raises KeyInUse while the first request runs.
    """
    hold = Hold(client_id, key, uuid.uuid4())
    found = await connection.execute(
        text("""
            INSERT INTO idempotency_key AS kept (client_id, key, token, running_until)
            VALUES (:client_id, :key, :token, clock_timestamp() + make_interval(secs => :hold_s))
            ON CONFLICT (client_id, key) DO UPDATE
            SET token = excluded.token, running_until = excluded.running_until, created_at = clock_timestamp(),
                fingerprint = NULL, response_status = NULL, response_headers = NULL, response_body = NULL
            WHERE kept.running_until < clock_timestamp()
              AND (kept.fingerprint IS NULL OR kept.created_at < clock_timestamp() - make_interval(secs => :kept_s))
            RETURNING 1
        """),
        {"client_id": client_id, "key": key, "token": hold.token, "hold_s": hold_s, "kept_s": KEPT_S},
    )
    if found.first() is not None:
        return hold
    return await _done(connection, client_id, key)


async def _done(connection: AsyncConnection, client_id: str, key: str) -> Done:
    found = await connection.execute(
        text("""
            SELECT *, running_until > clock_timestamp() AS is_running FROM idempotency_key
            WHERE client_id = :client_id AND key = :key AND fingerprint IS NOT NULL
        """),
        {"client_id": client_id, "key": key},
    )
    row = found.mappings().one_or_none()
    if row is None or row["is_running"]:
        raise KeyInUse
    answer = Answer(row["response_status"], row["response_headers"], bytes(row["response_body"]))
    return Done(bytes(row["fingerprint"]), answer)


async def prolong(connection: AsyncConnection, hold: Hold, *, hold_s: float) -> None:
    await connection.execute(
        text("""
            UPDATE idempotency_key SET running_until = clock_timestamp() + make_interval(secs => :hold_s)
            WHERE client_id = :client_id AND key = :key AND token = :token
        """),
        {**_named(hold), "hold_s": hold_s},
    )


async def record(connection: AsyncConnection, hold: Hold, fingerprint: bytes, answer: Answer, *, is_last: bool) -> None:
    """What was asked is done, in the transaction that does it, and this is the answer; the last one ends the request.

    Raises KeyInUse when another process has taken the key meanwhile, so that the transaction changes nothing.
    """
    statement = text("""
        UPDATE idempotency_key
        SET fingerprint = :fingerprint, response_status = :status, response_headers = :headers, response_body = :body,
            running_until = CASE WHEN :is_last THEN clock_timestamp() ELSE running_until END
        WHERE client_id = :client_id AND key = :key AND token = :token RETURNING 1
    """).bindparams(bindparam("headers", type_=JSONB))
    values = {"status": answer.status, "headers": dict(answer.headers), "body": answer.body}
    found = await connection.execute(
        statement, {**_named(hold), **values, "fingerprint": fingerprint, "is_last": is_last}
    )
    if found.first() is None:
        raise KeyInUse


async def release(connection: AsyncConnection, hold: Hold) -> bool:
    """The request has failed: forget the key, unless something was done before that; answers whether it was."""
    found = await connection.execute(
        text("""
            WITH forgotten AS (
                DELETE FROM idempotency_key
                WHERE client_id = :client_id AND key = :key AND token = :token AND fingerprint IS NULL
            )
            UPDATE idempotency_key SET running_until = clock_timestamp()
            WHERE client_id = :client_id AND key = :key AND token = :token AND fingerprint IS NOT NULL RETURNING 1
        """),
        _named(hold),
    )
    return found.first() is not None


async def forget_older_than(connection: AsyncConnection, *, age_s: float = KEPT_S) -> int:
    """Upkeep: remove keys whose time is over; answers how many."""
    found = await connection.execute(
        text("""
            DELETE FROM idempotency_key
            WHERE created_at < clock_timestamp() - make_interval(secs => :age_s) AND running_until < clock_timestamp()
        """),
        {"age_s": age_s},
    )
    return int(found.rowcount)


def _named(hold: Hold) -> dict[str, Any]:
    return {"client_id": hold.client_id, "key": hold.key, "token": hold.token}
