"""A connection that belongs to no pool: for what waits neither for others nor for a server that has gone silent."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from datetime import timedelta
from typing import TypeAlias, TypeVar

import asyncpg

from mqjobs.store.database import SERVER_SETTINGS, Connection

AnswerT = TypeVar("AnswerT")

_Plain: TypeAlias = "asyncpg.Connection[asyncpg.Record]"

TIME_TO_CLOSE = timedelta(seconds=1)


class OwnConnection:
    """Made when it is first needed, and again after anything went wrong on it. For one caller at a time."""

    def __init__(self, dsn: str, *, statement_cache_size: int = 100) -> None:
        self._dsn = dsn
        self._statement_cache_size = statement_cache_size
        self._connection: _Plain | None = None

    async def ask(
        self, act: Callable[[Connection], Awaitable[AnswerT]], *, at_most: timedelta
    ) -> AnswerT:
        """What `act` answers, in a transaction of its own.

        Raises what `is_outage` knows where there is no connection or no answer in time.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + at_most.total_seconds()
        connection = self._connection
        if connection is None or connection.is_closed():
            connection = self._connection = await self._connect(at_most)
        # Ended, not cancelled: to cancel a statement the driver would have to reach the server.
        end = loop.call_at(deadline, connection.terminate)
        try:
            async with connection.transaction():
                return await act(connection)
        except BaseException:
            connection.terminate()
            raise
        finally:
            end.cancel()

    @asynccontextmanager
    async def kept(self) -> AsyncIterator[None]:
        """The connection is gone at the end of the block."""
        try:
            yield
        finally:
            await self._close()

    async def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None:
            with suppress(OSError, TimeoutError, asyncpg.PostgresError, asyncpg.InterfaceError):
                await connection.close(timeout=TIME_TO_CLOSE.total_seconds())
            connection.terminate()

    async def _connect(self, at_most: timedelta) -> _Plain:
        return await asyncpg.connect(
            self._dsn,
            timeout=at_most.total_seconds(),
            statement_cache_size=self._statement_cache_size,
            server_settings=SERVER_SETTINGS,
        )
