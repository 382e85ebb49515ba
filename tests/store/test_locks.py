"""Locks: how long we wait for them, and whose are in other hands."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import asyncpg
import pytest

from mqjobs.store.database import Connection, open_pool
from mqjobs.store.job_store import transaction
from mqjobs.store.locks import locked_children
from tests.support.stored_jobs import StoredJobs, connected


@asynccontextmanager
async def in_another_hand(database_url: str, job_id: int) -> AsyncIterator[None]:
    """Within the block this row is somebody else's."""
    async with connected(database_url) as other, other.transaction():
        await other.execute("SELECT FROM mqjobs.job WHERE id = $1 FOR NO KEY UPDATE", job_id)
        yield


@pytest.fixture
async def committed(database_url: str) -> AsyncIterator[Connection]:
    """A connection whose writes all others see."""
    async with connected(database_url) as opened:
        yield opened


async def test_children_are_locked_whose_row_or_root_is_in_another_hand(
    database_url: str, committed: Connection
) -> None:
    work = StoredJobs(committed)
    first, second = await work.root("first"), await work.root("second")
    ids = [first.own_child_id, second.own_child_id, 0]

    async def found() -> set[int]:
        async with committed.transaction():
            return await locked_children(committed, ids)

    assert await found() == set()
    async with in_another_hand(database_url, first.id):
        assert await found() == {first.own_child_id}
    async with in_another_hand(database_url, second.own_child_id):
        assert await found() == {second.own_child_id}
    assert await found() == set()


async def test_a_transaction_of_ours_waits_for_no_lock_for_long(
    database_url: str, committed: Connection
) -> None:
    root = await StoredJobs(committed).root()
    async with open_pool(database_url) as pool, in_another_hand(database_url, root.id):
        with pytest.raises(asyncpg.LockNotAvailableError):
            async with transaction(pool) as connection:
                await connection.execute("UPDATE mqjobs.job SET name = name WHERE id = $1", root.id)


async def test_the_server_ends_a_transaction_of_ours_that_nobody_goes_on_with(
    database_url: str,
) -> None:
    async with open_pool(database_url) as pool, transaction(pool) as connection:
        idle = "SELECT current_setting('idle_in_transaction_session_timeout')::interval"
        assert 0 < (await connection.fetchval(idle)).total_seconds() <= 60
