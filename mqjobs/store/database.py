"""The connection pool, and what a lost server looks like."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeAlias, Union
from urllib.parse import urlsplit

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from mqjobs.model.errors import ConfigurationError, DatabaseUnavailable

log = structlog.get_logger(__name__)

Connection: TypeAlias = Union[
    "asyncpg.Connection[asyncpg.Record]", "PoolConnectionProxy[asyncpg.Record]"
]
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.TooManyConnectionsError,
    asyncpg.SerializationError,
    asyncpg.DeadlockDetectedError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # what a connection says that was ended while it was asked
    asyncpg.DiskFullError,
    asyncpg.OutOfMemoryError,
    asyncpg.InvalidCachedStatementError,  # the schema was migrated under a statement that was prepared before
    asyncpg.OutdatedSchemaCacheError,
)


def is_outage(error: BaseException) -> bool:
    """Whether the same call may succeed later: the server is away, or asked for another try."""
    if isinstance(error, OUTAGES):
        return True
    return isinstance(error, asyncpg.InterfaceError) and "clos" in str(error)


async def prepare(connection: Connection) -> None:
    """Values of json columns are Python objects on this connection."""
    for name in ("json", "jsonb"):
        await connection.set_type_codec(
            name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
        )


@asynccontextmanager
async def open_pool(
    dsn: str, *, size: int = 10, connect_timeout: timedelta = timedelta(seconds=30)
) -> AsyncIterator[Pool]:
    """A pool of connections; waits for the server as long as `connect_timeout`.

    Raises DatabaseUnavailable when it does not come, ConfigurationError where it refuses the name or password.
    """
    pool = await _connect(dsn, size, connect_timeout)
    try:
        yield pool
    finally:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            async with asyncio.timeout(5):
                await pool.close()
        pool.terminate()


async def _connect(dsn: str, size: int, connect_timeout: timedelta) -> Pool:
    where = without_password(dsn)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connect_timeout.total_seconds()
    told = False
    while True:
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=1,
                max_size=size,
                init=prepare,
                timeout=max(1.0, min(10.0, deadline - loop.time())),
                server_settings={"application_name": "mqjobs"},
            )
        except (
            asyncpg.InvalidAuthorizationSpecificationError,
            asyncpg.InvalidCatalogNameError,
        ) as error:
            raise ConfigurationError(
                f"{where} refuses us: {error}; see MQJOBS_DATABASE_URL"
            ) from None
        except (ValueError, asyncpg.ClientConfigurationError):
            # What the driver says quotes a password in which a / ? or # stands as it is.
            raise ConfigurationError(
                "MQJOBS_DATABASE_URL cannot be read: postgresql://user:password@host:port/database is expected, "
                "with %2F %3F %23 for / ? # in a password, and no unknown option"
            ) from None
        except Exception as error:
            if not is_outage(error):
                raise
            if loop.time() >= deadline:
                raise DatabaseUnavailable(
                    f"no PostgreSQL at {where} within {connect_timeout.total_seconds():g} s: {error}"
                ) from None
            if not told:
                log.warning("database_awaited", at=where, error=str(error))
            told = True
            await asyncio.sleep(min(0.5, connect_timeout.total_seconds()))


def without_password(url: str) -> str:
    """The address in a URL that may be shown: server and path, no user's password, no query."""
    try:
        parts = urlsplit(url)
        port = f":{parts.port}" if parts.port else ""
    except ValueError:
        return "(unreadable address)"
    if "@" in parts.path + parts.query + parts.fragment:
        return "(unreadable address)"  # what is taken for the server may be a part of the password
    user = f"{parts.username}@" if parts.username else ""
    return f"{parts.scheme}://{user}{parts.hostname or 'local socket'}{port}{parts.path}"
