"""The connection pool, and what a lost server looks like."""

import asyncio
import json
import re
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager, suppress
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, TypeAlias, Union
from urllib.parse import parse_qs, urlsplit

import asyncpg
import structlog
from asyncpg.pool import PoolConnectionProxy

from mqjobs.model.errors import ConfigurationError, DatabaseUnavailable, Forbidden
from mqjobs.store.certificates import certificate_fault, require_files

log = structlog.get_logger(__name__)

Connection: TypeAlias = Union[
    "asyncpg.Connection[asyncpg.Record]", "PoolConnectionProxy[asyncpg.Record]"
]
Pool: TypeAlias = "asyncpg.Pool[asyncpg.Record]"

CONNECT_TIMEOUT = timedelta(seconds=5)
FILES = ("sslrootcert", "sslcert", "sslkey", "sslcrl")
SERVER_SETTINGS = {"application_name": "mqjobs"}

OF_A_CONNECTION = re.compile("connection is closed|connection has been released back to the pool")

CONTENTION = (
    asyncpg.LockNotAvailableError,
    asyncpg.TransactionRollbackError,  # serialization, deadlock
    asyncpg.QueryCanceledError,
)

REFUSALS = (
    asyncpg.InvalidAuthorizationSpecificationError,
    asyncpg.InvalidCatalogNameError,
    asyncpg.ClientConfigurationError,
    ValueError,  # an address that cannot be read, or a certificate that is not to be trusted
)

OUTAGES = (
    OSError,
    TimeoutError,
    asyncpg.PostgresConnectionError,
    asyncpg.CannotConnectNowError,
    asyncpg.AdminShutdownError,
    asyncpg.CrashShutdownError,
    asyncpg.IdleInTransactionSessionTimeoutError,
    asyncpg.ReadOnlySQLTransactionError,
    asyncpg.InternalClientError,  # what a connection says that was ended while it was asked
    asyncpg.InsufficientResourcesError,  # disk, memory, connections
    asyncpg.PostgresIOError,
    asyncpg.InvalidCachedStatementError,  # the schema was migrated under a statement that was prepared before
    asyncpg.OutdatedSchemaCacheError,
)


def is_contention(error: BaseException) -> bool:
    """Whether the server is there and asks for another try: rows are locked, or two transactions met."""
    return isinstance(error, CONTENTION)


def is_forbidden(error: BaseException) -> bool:
    """Whether this role of the database may not do that."""
    return isinstance(error, asyncpg.InsufficientPrivilegeError)


def forbidden(error: BaseException) -> Forbidden:
    """What to tell of an error that `is_forbidden`."""
    return Forbidden(f"PostgreSQL says {error}; see mqjobs migrate --roles")


def is_outage(error: BaseException) -> bool:
    """Whether the same call may succeed later: the server is away, or asked for another try.

    A pool that is closed is none: it does not open again.
    """
    if isinstance(error, OUTAGES) or is_contention(error):
        return True
    return isinstance(error, asyncpg.InterfaceError) and bool(OF_A_CONNECTION.search(str(error)))


@dataclass(slots=True)
class Try:
    """A try of a call: how many times longer than usual it may hold a connection, and whether that was too short."""

    longer: int = 1
    was_cut: bool = False


this_try: ContextVar[Try | None] = ContextVar("this_try", default=None)


class _Bounds:
    """Ends connections of a pool that are held for too long: nobody waits for ever for a server that has gone silent.

    A call that was cut off may hold the next one longer, so that what is only slow comes to its end.
    """

    def __init__(self, held_at_most: timedelta) -> None:
        self._held_at_most = held_at_most.total_seconds()
        self._connections: dict[int, Connection] = {}
        self._ends: dict[int, asyncio.TimerHandle] = {}

    async def prepare(self, connection: Connection) -> None:
        pid = connection.get_server_pid()
        self._connections[pid] = connection
        connection.add_termination_listener(lambda _: self._forget(pid))
        await prepare(connection)

    async def begin(self, connection: Connection) -> None:
        current = this_try.get() or Try()
        self._ends[connection.get_server_pid()] = asyncio.get_running_loop().call_later(
            self._held_at_most * current.longer, self._cut, connection, current
        )

    async def end(self, connection: Connection) -> None:
        """Instead of the driver's reset of the session: our statements leave nothing behind in it."""
        if end := self._ends.pop(connection.get_server_pid(), None):
            end.cancel()

    def _cut(self, connection: Connection, current: Try) -> None:
        current.was_cut = True
        connection.terminate()
        # Those that nobody holds are as silent, and the next caller would have to find that out of each.
        for pid, idle in list(self._connections.items()):
            if pid not in self._ends:
                idle.terminate()

    def _forget(self, pid: int) -> None:
        self._connections.pop(pid, None)
        if end := self._ends.pop(pid, None):
            end.cancel()


async def prepare(connection: Connection) -> None:
    """Values of json columns are Python objects on this connection. One that does not answer is ended."""
    end = asyncio.get_running_loop().call_later(
        CONNECT_TIMEOUT.total_seconds(), connection.terminate
    )
    try:
        for name in ("json", "jsonb"):
            await connection.set_type_codec(
                name, schema="pg_catalog", encoder=json.dumps, decoder=json.loads
            )
    except BaseException:
        connection.terminate()  # to close it, the driver would wait for the server
        raise
    finally:
        end.cancel()


@asynccontextmanager
async def open_pool(
    dsn: str,
    *,
    size: int = 10,
    connect_timeout: timedelta = timedelta(seconds=30),
    held_at_most: timedelta | None = None,
    statement_cache_size: int = 100,
) -> AsyncIterator[Pool]:
    """A pool of connections; waits for the server as long as `connect_timeout`.

    A connection that is held for longer than `held_at_most` is ended, and so is what was asked on it (None: never).
    Raises DatabaseUnavailable when the server does not come, ConfigurationError where it refuses the name or password.
    """
    bounds = {}
    if held_at_most is not None:
        each = _Bounds(held_at_most)
        bounds = {"init": each.prepare, "setup": each.begin, "reset": each.end}
    options = {
        "init": prepare,
        **bounds,
        "max_size": size,
        "statement_cache_size": statement_cache_size,
    }
    pool = await _open(dsn, options, connect_timeout)
    try:
        yield pool
    finally:
        with suppress(OSError, TimeoutError, asyncpg.PostgresError):
            async with asyncio.timeout(5):
                await pool.close()
        pool.terminate()


async def _open(dsn: str, options: Mapping[str, Any], connect_timeout: timedelta) -> Pool:
    where = without_password(dsn)
    _require_files(dsn)
    loop = asyncio.get_running_loop()
    deadline = loop.time() + connect_timeout.total_seconds()
    told = False
    while True:
        try:
            return await asyncpg.create_pool(
                dsn,
                min_size=1,
                timeout=max(1.0, min(CONNECT_TIMEOUT.total_seconds(), deadline - loop.time())),
                server_settings=SERVER_SETTINGS,
                **options,
            )
        except REFUSALS as error:
            raise ConfigurationError(_refusal(error, where)) from None
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


def _refusal(error: Exception, where: str) -> str:
    if isinstance(error, asyncpg.PostgresError):
        return f"{where} refuses us: {error}; see MQJOBS_DATABASE_URL"
    if fault := certificate_fault(error):
        return f"{where}: {fault}; see sslmode and sslrootcert of MQJOBS_DATABASE_URL"
    # What the driver says quotes a password in which a / ? or # stands as it is.
    return (
        "MQJOBS_DATABASE_URL cannot be read: postgresql://user:password@host:port/database is expected, "
        "with %2F %3F %23 for / ? # in a password, no unknown option, and sslrootcert=… for sslmode=verify-…"
    )


def _require_files(dsn: str) -> None:
    with suppress(ValueError):  # an address that cannot be read, which the driver finds out, too
        require_files("MQJOBS_DATABASE_URL", dsn, FILES)


def has_password(url: str) -> bool:
    """Whether a password stands in the URL, before the server or in its query; or one might that cannot be read."""
    try:
        parts = urlsplit(url)
        return parts.password is not None or "password" in parse_qs(parts.query)
    except ValueError:
        return "@" in url


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
