"""Harm to PostgreSQL: restarted, killed, cutting connections, and sessions that get in the way of others."""

import asyncio
from asyncio import to_thread
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from random import Random

from mqjobs.store.database import Connection
from tests.faults.arena import Arena
from tests.faults.harm import again_and_again
from tests.faults.ledger import What

_OTHERS = (
    "FROM pg_stat_activity WHERE datname = current_database()"
    " AND backend_type = 'client backend' AND pid <> pg_backend_pid()"
)
_LOCK_ONE = "SELECT FROM mqjobs.job WHERE id = $1 FOR UPDATE"


@asynccontextmanager
async def away(arena: Arena, why: str) -> AsyncIterator[None]:
    """Nobody can say that he lives for as long as the block."""
    arena.ledger.write(What.DETACHED, process=None, why=why)
    try:
        yield
    finally:
        arena.ledger.write(What.ATTACHED, process=None)


@asynccontextmanager
async def stopped(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The server is ended in good order, and comes back."""
    async with away(arena, "the database is stopped"):
        await to_thread(arena.postgres.stop)
        try:
            yield
        finally:
            await to_thread(arena.postgres.start)


@asynccontextmanager
async def killed(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """All processes of the server are killed; its data is recovered when it comes back."""
    async with away(arena, "the database is killed"):
        await to_thread(arena.postgres.kill)
        try:
            yield
        finally:
            await to_thread(arena.postgres.start)


@asynccontextmanager
async def backends_terminated(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """A share of the connections is cut by the server, in the middle of whatever they do."""
    async with arena.connected() as connection:
        await connection.execute(
            f"SELECT pg_terminate_backend(pid) {_OTHERS} AND random() < $1",
            chance.choice([0.1, 0.5, 1.0]),
        )
    yield


@asynccontextmanager
async def root_locked(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """Another session holds the lock of a root that is active."""
    async with arena.connected() as connection, connection.transaction():
        await connection.execute(
            "SELECT FROM mqjobs.job WHERE root_id IS NULL AND status IN ('new', 'running')"
            " ORDER BY random() LIMIT 1 FOR UPDATE SKIP LOCKED"
        )
        yield


@asynccontextmanager
async def snapshot_held(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """Another session is idle in a transaction, and nothing that was deleted since can be cleaned up."""
    async with (
        arena.connected() as connection,
        connection.transaction(isolation="repeatable_read", readonly=True),
    ):
        await connection.fetchval("SELECT count(*) FROM mqjobs.job")
        yield


@asynccontextmanager
async def deadlocks_provoked(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """Another session locks active roots in the wrong order, and is never the one that gives way."""
    async with (
        _default(
            arena, "deadlock_timeout", "20ms"
        ),  # so that it is found before a lock is given up
        asyncio.TaskGroup() as group,
    ):
        locking = group.create_task(_lock_the_wrong_way_round(arena))
        yield
        locking.cancel()


@asynccontextmanager
async def serializable(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """Every transaction is a serializable one, and is refused where it might have seen another's doings."""
    async with _default(arena, "default_transaction_isolation", "serializable"):
        yield


@asynccontextmanager
async def read_only(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The server takes no writes, as a standby that was not promoted yet."""
    async with (
        away(arena, "the database takes no writes"),
        _default(arena, "default_transaction_read_only", "on"),
    ):
        yield


@asynccontextmanager
async def failed_over(arena: Arena, chance: Random) -> AsyncIterator[None]:
    """The server is killed, and its standby takes its place under the same address."""
    standby = await to_thread(arena.postgres.stand_by)
    async with away(arena, "the database fails over"):
        await to_thread(arena.postgres.kill)
        try:
            yield
        finally:
            await to_thread(arena.postgres.give_way_to, standby)


@asynccontextmanager
async def _default(arena: Arena, setting: str, value: str) -> AsyncIterator[None]:
    """Sessions of this database have another default, those that there are as well: they are begun anew."""
    async with arena.connected() as connection:
        await connection.execute(f'ALTER DATABASE "{arena.name}" SET {setting} = {value!r}')
        await _terminate_all(connection)
    try:
        yield
    finally:
        async with arena.connected() as connection:
            await connection.execute("SET default_transaction_read_only = off")
            await connection.execute(f'ALTER DATABASE "{arena.name}" RESET {setting}')
            await _terminate_all(connection)


async def _terminate_all(connection: Connection) -> None:
    await connection.execute(f"SELECT pg_terminate_backend(pid) {_OTHERS}")


async def _lock_the_wrong_way_round(arena: Arena) -> None:
    async with arena.connected() as connection:
        await connection.execute("SET deadlock_timeout = '1min'")
        while True:
            ids = await connection.fetchval(
                "SELECT array_agg(id ORDER BY id DESC) FROM mqjobs.job"
                " WHERE root_id IS NULL AND status IN ('new', 'running')"
            )
            async with connection.transaction():
                for root_id in ids or ():
                    await connection.execute(_LOCK_ONE, root_id)
                    await asyncio.sleep(0.05)


FAULTS = {
    **again_and_again(
        {
            "database-restart": stopped,
            "database-kill": killed,
            "database-read-only": read_only,
            "database-failover": failed_over,
        },
        lasting=(0.5, 4),
        after=(5, 40),
    ),
    **again_and_again({"database-cut": backends_terminated}, lasting=(0, 0), after=(0.5, 4)),
    **again_and_again(
        {
            "database-lock": root_locked,
            "database-deadlocks": deadlocks_provoked,
            "database-serializable": serializable,
        },
        lasting=(2, 10),
        after=(1, 5),
    ),
    **again_and_again({"database-snapshot": snapshot_held}, lasting=(60, 60), after=(2, 10)),
}
