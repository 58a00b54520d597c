"""Connections: one engine a process, raw asyncpg where COPY or LISTEN needs it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from urllib.parse import quote, unquote

import asyncpg
from sqlalchemy import text
from sqlalchemy.exc import DBAPIError, InterfaceError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from groovemark.errors import ConfigurationError, DatabaseUnavailable

SCHEMA_REVISION = "0002"
"""The migration this code needs; a test compares it with the newest one."""

CONNECT_TIMEOUT_S = 5.0
CURRENT_WITHIN_S = 3.0
"""Whoever asks /ready is answered within five seconds, on a busy machine too."""


def normalise_uri(uri: str) -> str:
    """A libpq URL from a full URL, a SQLAlchemy URL, or the short form `user:pw@host:port/db`.

    Raises ConfigurationError when it is none of them.
    """
    _refuse_port(uri)
    scheme, separator, rest = uri.partition("://")
    if not separator:
        credentials, _, place = uri.rpartition("@")
        user, _, password = credentials.partition(":")
        if not place:
            raise ConfigurationError("POSTGRES_URI must look like user:pw@host:port/db or postgresql://…")
        # The short form is written by hand: a password in it may hold characters that a URL must escape.
        login = f"{quote(unquote(user), safe='')}:{quote(unquote(password), safe='')}@" if user else ""
        return f"postgresql://{login}{place}"
    if scheme.split("+")[0] not in ("postgres", "postgresql"):
        raise ConfigurationError(f"POSTGRES_URI names '{scheme}', but groovemark needs PostgreSQL.")
    return f"postgresql://{rest}"


def _refuse_port(uri: str) -> None:
    place = uri.rpartition("@")[2].rpartition("://")[2]
    for host in place.partition("/")[0].partition("?")[0].split(","):
        port = host.rpartition("]")[2].partition(":")[2]  # an IPv6 address stands in brackets
        if port and not port.isdecimal():
            raise ConfigurationError("POSTGRES_URI has a port that is no number.")


async def connect(uri: str) -> asyncpg.Connection:
    """One connection of its own, outside the pool."""
    return await asyncpg.connect(normalise_uri(uri), timeout=CONNECT_TIMEOUT_S)


def create_engine(uri: str, *, pool_size: int = 10, idle_s: float | None = None) -> AsyncEngine:
    """The pool. asyncpg reads the URL itself, so that every libpq parameter (sslmode, …) works.

    Args:
        idle_s: a transaction in which nothing happens for so long is ended by the server: a process that is frozen must
            not keep its locks.
    """
    dsn = normalise_uri(uri)
    settings = {} if idle_s is None else {"idle_in_transaction_session_timeout": f"{idle_s * 1000:.0f}"}

    async def open_connection() -> asyncpg.Connection:
        return await asyncpg.connect(dsn, timeout=CONNECT_TIMEOUT_S, server_settings=settings)

    return create_async_engine(
        "postgresql+asyncpg://",
        async_creator=open_connection,
        pool_size=pool_size,
        max_overflow=0,
        pool_timeout=CONNECT_TIMEOUT_S,
        pool_pre_ping=True,
        hide_parameters=True,  # a logged error shows the statement, never what a client sent
    )


# A disk error inside a transaction is an OSError too, and is not the database's: there only a lost connection counts.
_LOST = (
    ConnectionError,
    InterfaceError,
    asyncpg.InterfaceError,
    asyncpg.InternalClientError,  # of a connection that ends while a statement is being sent
    asyncpg.PostgresConnectionError,
)
_UNREACHABLE = (
    *_LOST,
    OSError,
    PoolTimeoutError,
    asyncpg.OperatorInterventionError,
    asyncpg.TooManyConnectionsError,
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
)


_PASSING = ("08", "25P03", "40", "53", "57P")
"""Starts of SQLSTATEs that tell of the server's state and not of the statement: a lost connection, too long idle, a
deadlock, a full disk or memory, a shutdown or restart. The same transaction may succeed a moment later."""


def _is_passing(error: BaseException) -> bool:
    return str(getattr(error, "sqlstate", None) or "").startswith(_PASSING)


class Database:
    """The engine, with driver errors turned into the service's own."""

    def __init__(self, engine: AsyncEngine) -> None:
        self._engine = engine
        self._ending: set[asyncio.Task[bool]] = set()

    @contextlib.asynccontextmanager
    async def transaction(self) -> AsyncIterator[AsyncConnection]:
        """A connection whose work is committed at the end, or rolled back on any error.

        Raises DatabaseUnavailable when the server cannot be reached, drops the connection or is short of something.
        """
        try:
            try:
                connection = await self._engine.connect()
            except _UNREACHABLE as error:
                raise DatabaseUnavailable from error
            try:
                async with connection.begin():
                    yield connection
            finally:
                await connection.close()
        except _LOST as error:
            raise DatabaseUnavailable from error
        except asyncpg.PostgresError as error:  # of a statement sent past SQLAlchemy
            if _is_passing(error):
                raise DatabaseUnavailable from error
            raise
        except DBAPIError as error:
            if error.connection_invalidated or (error.orig is not None and _is_passing(error.orig)):
                raise DatabaseUnavailable from error
            raise

    async def is_current(self) -> bool:
        """Whether the database answers and its schema is the one this code was written for."""
        asking = asyncio.create_task(self._has_our_schema())
        try:
            await asyncio.wait({asking}, timeout=CURRENT_WITHIN_S)
            return asking.done() and asking.result()
        finally:
            # Its end is not waited for: a connection takes its leave of a server that does not answer either.
            asking.cancel()
            self._ending.add(asking)
            asking.add_done_callback(self._ending.discard)

    async def _has_our_schema(self) -> bool:
        try:
            async with self.transaction() as connection:
                found = await connection.scalar(text("SELECT version_num FROM alembic_version"))
        except (DatabaseUnavailable, DBAPIError):
            return False
        return bool(found == SCHEMA_REVISION)

    async def close(self) -> None:
        await self._engine.dispose()


async def raw_connection(connection: AsyncConnection) -> asyncpg.Connection:
    """The asyncpg connection under a SQLAlchemy one: same transaction, with COPY."""
    # SQLAlchemy sends BEGIN with its first statement only: without one, raw statements would commit one by one.
    await connection.exec_driver_sql("SELECT 1")
    pooled = await connection.get_raw_connection()
    return pooled.driver_connection
