"""Clients, their secrets and their catalogs."""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import RowMapping, text
from sqlalchemy.ext.asyncio import AsyncConnection

from groovemark.errors import NotFound

SECRET_BYTES = 32
LIVE_SECRETS_MAX = 2
SCOPES = ("read", "write")
DEFAULT_CATALOG = "default"

# Compared with when the id is unknown, so that an unknown id takes as long as a wrong secret.
_NOBODY = hashlib.sha256(secrets.token_bytes(SECRET_BYTES)).digest()


@dataclass(frozen=True, slots=True)
class Caller:
    """The authenticated client of a request."""

    client_id: str
    catalog_id: int
    scopes: frozenset[str]


def hash_secret(secret: str) -> bytes:
    return hashlib.sha256(secret.encode()).digest()


async def authenticate(connection: AsyncConnection, client_id: str, secret: str) -> Caller | None:
    """The client, if the secret is one of its live ones. Takes equally long whatever is wrong."""
    found = await connection.execute(
        text("""
            SELECT client.id, client.catalog_id, client.scopes, client_secret.id AS secret_id,
                   client_secret.sha256,
                   coalesce(client_secret.last_used_at < now() - interval '1 minute', true) AS is_stale
            FROM client JOIN client_secret ON client_secret.client_id = client.id
            WHERE client.id = :client_id AND client.revoked_at IS NULL AND client_secret.revoked_at IS NULL
        """),
        {"client_id": client_id},
    )
    given = hash_secret(secret)
    caller, used = None, None
    rows = found.mappings().all()
    for row in rows:
        if hmac.compare_digest(row["sha256"], given):
            caller = Caller(row["id"], row["catalog_id"], frozenset(row["scopes"]))
            used = row["secret_id"] if row["is_stale"] else None
    if not rows:
        hmac.compare_digest(_NOBODY, given)
    if used is not None:
        await connection.execute(text("UPDATE client_secret SET last_used_at = now() WHERE id = :id"), {"id": used})
    return caller


async def exists(connection: AsyncConnection, client_id: str) -> bool:
    """Whether there is a client of that id, revoked ones left aside."""
    found = await connection.execute(
        text("SELECT 1 FROM client WHERE id = :id AND revoked_at IS NULL"), {"id": client_id}
    )
    return found.first() is not None


async def add(
    connection: AsyncConnection,
    client_id: str,
    *,
    catalog: str = DEFAULT_CATALOG,
    scopes: Sequence[str] = SCOPES,
    secret: str | None = None,
) -> str:
    """Create a client, or bring an existing one back, and return its new secret; the database keeps a hash."""
    catalog_id = await connection.scalar(
        text("""
            INSERT INTO catalog (name) VALUES (:name)
            ON CONFLICT (name) DO UPDATE SET name = excluded.name RETURNING id
        """),
        {"name": catalog},
    )
    await connection.execute(
        text("""
            INSERT INTO client (id, catalog_id, scopes) VALUES (:id, :catalog_id, :scopes)
            ON CONFLICT (id) DO UPDATE
            SET revoked_at = NULL, scopes = excluded.scopes, catalog_id = excluded.catalog_id
        """),
        {"id": client_id, "catalog_id": catalog_id, "scopes": list(scopes)},
    )
    return await _add_secret(connection, client_id, secret or secrets.token_urlsafe(SECRET_BYTES))


async def ensure(connection: AsyncConnection, client_id: str, secret: str) -> None:
    """The client of CLIENT_ID / CLIENT_SECRET exists and has that secret; safe to repeat.

    Where it has others only, they stop working: whoever rotates this client changes the setting as well.
    """
    if await authenticate(connection, client_id, secret) is not None:
        return
    await connection.execute(
        text("UPDATE client_secret SET revoked_at = now() WHERE client_id = :id AND revoked_at IS NULL"),
        {"id": client_id},
    )
    if await exists(connection, client_id):
        await _add_secret(connection, client_id, secret)
    else:
        await add(connection, client_id, secret=secret)


async def rotate(connection: AsyncConnection, client_id: str) -> str:
    """A new secret beside the newest old one, so that no request fails while clients change over."""
    await _lock_client(connection, client_id)
    return await _add_secret(connection, client_id, secrets.token_urlsafe(SECRET_BYTES))


async def revoke(connection: AsyncConnection, client_id: str) -> None:
    """The client and all its secrets stop working at once."""
    await _lock_client(connection, client_id)
    await connection.execute(text("UPDATE client SET revoked_at = now() WHERE id = :id"), {"id": client_id})
    await connection.execute(
        text("UPDATE client_secret SET revoked_at = now() WHERE client_id = :id AND revoked_at IS NULL"),
        {"id": client_id},
    )


async def revoke_secret(connection: AsyncConnection, secret: str) -> None:
    """Nobody may use this secret any more, whoever has it."""
    await connection.execute(
        text("UPDATE client_secret SET revoked_at = now() WHERE sha256 = :hash AND revoked_at IS NULL"),
        {"hash": hash_secret(secret)},
    )


@dataclass(frozen=True, slots=True)
class ClientSummary:
    """A client as an operator sees it."""

    id: str
    catalog: str
    scopes: tuple[str, ...]
    live_secrets: int
    last_used_at: datetime | None
    is_revoked: bool


async def list_all(connection: AsyncConnection) -> list[ClientSummary]:
    found = await connection.execute(
        text("""
            SELECT client.id, catalog.name AS catalog, client.scopes, client.revoked_at IS NOT NULL AS is_revoked,
                   count(client_secret.id) FILTER (WHERE client_secret.revoked_at IS NULL) AS live_secrets,
                   max(client_secret.last_used_at) AS last_used_at
            FROM client JOIN catalog ON catalog.id = client.catalog_id
            LEFT JOIN client_secret ON client_secret.client_id = client.id
            GROUP BY client.id, catalog.name ORDER BY client.id
        """)
    )
    return [_summary(row) for row in found.mappings()]


def _summary(row: RowMapping) -> ClientSummary:
    return ClientSummary(
        id=row["id"],
        catalog=row["catalog"],
        scopes=tuple(row["scopes"]),
        live_secrets=row["live_secrets"],
        last_used_at=row["last_used_at"],
        is_revoked=row["is_revoked"],
    )


async def _lock_client(connection: AsyncConnection, client_id: str) -> None:
    found = await connection.scalar(
        text("SELECT id FROM client WHERE id = :id AND revoked_at IS NULL FOR UPDATE"), {"id": client_id}
    )
    if found is None:
        raise NotFound("client", client_id)


async def _add_secret(connection: AsyncConnection, client_id: str, secret: str) -> str:
    await connection.execute(
        text("INSERT INTO client_secret (client_id, sha256) VALUES (:id, :hash)"),
        {"id": client_id, "hash": hash_secret(secret)},
    )
    await connection.execute(
        text("""
            UPDATE client_secret SET revoked_at = now()
            WHERE client_id = :client_id AND revoked_at IS NULL AND id NOT IN (
                SELECT id FROM client_secret WHERE client_id = :client_id AND revoked_at IS NULL
                ORDER BY id DESC LIMIT :most)
        """),
        {"client_id": client_id, "most": LIVE_SECRETS_MAX},
    )
    return secret
