"""Transactions that are done once, whatever becomes of the answer to their commit."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from mqjobs.store.certainty import _was_committed, once_for_all
from mqjobs.store.database import Connection, open_pool
from tests.faults.answers import is_commit, split_postgres
from tests.support.surroundings import through
from tests.support.wire import Wire

PATIENCE = timedelta(seconds=10)


async def test_an_act_that_was_committed_under_a_lost_answer_is_answered_and_not_repeated(
    database_url: str,
) -> None:
    """The connection is lost after the server has committed, and before the client has heard of it."""
    acts = list[int]()

    async with Wire.to(database_url, split=split_postgres) as wire:

        async def count(connection: Connection) -> int:
            acts.append(len(acts))
            await connection.execute("INSERT INTO mqjobs.binding VALUES ('a', gen_random_uuid())")
            return acts[-1]

        async with open_pool(f"{through(wire, database_url)}?sslmode=disable", size=2) as pool:
            lose_one_commit(wire)
            answer = await once_for_all(pool, "a note", count, patience=PATIENCE)
            rows = await pool.fetchval("SELECT count(*) FROM mqjobs.binding")

    assert (answer, acts, rows) == (0, [0], 1)


async def test_an_act_whose_commit_never_came_is_done_again(database_url: str) -> None:
    acts = list[int]()

    async with open_pool(database_url, size=2) as pool:

        async def count(connection: Connection) -> int:
            acts.append(len(acts))
            await connection.execute("INSERT INTO mqjobs.binding VALUES ('a', gen_random_uuid())")
            if len(acts) == 1:
                await end(connection, database_url)
            return acts[-1]

        answer = await once_for_all(pool, "a note", count, patience=PATIENCE)
        rows = await pool.fetchval("SELECT count(*) FROM mqjobs.binding")

    assert (answer, acts, rows) == (1, [0, 1], 1)


async def test_an_act_that_writes_nothing_is_answered(database_url: str) -> None:
    async with open_pool(database_url, size=2) as pool:
        assert await once_for_all(pool, "a look", lambda each: each.fetchval("SELECT 7")) == 7


async def test_an_error_of_the_act_comes_out_and_nothing_is_written(database_url: str) -> None:
    async def fail(connection: Connection) -> None:
        await connection.execute("INSERT INTO mqjobs.binding VALUES ('a', 'b')")
        raise ValueError("no")

    async with open_pool(database_url, size=2) as pool:
        with pytest.raises(ValueError, match="no"):
            await once_for_all(pool, "a note", fail)

        assert await pool.fetchval("SELECT count(*) FROM mqjobs.binding") == 0


async def test_a_transaction_that_the_server_in_power_has_never_heard_of_is_done_again(
    database_url: str,
) -> None:
    """As after a failover to a standby that had not heard of it."""
    async with open_pool(database_url, size=1) as pool, pool.acquire() as connection:
        assert not await _was_committed(connection, str(2**31))


async def test_rows_in_anothers_hand_are_waited_for_and_are_no_outage(database_url: str) -> None:
    async with open_pool(database_url, size=2, held_at_most=timedelta(seconds=4)) as pool:
        other = await asyncpg.connect(database_url)
        with capture_logs() as lines:
            async with asyncio.TaskGroup() as group, other.transaction():
                await other.execute("LOCK TABLE mqjobs.binding")
                writing = group.create_task(once_for_all(pool, "a note", note))
                await asyncio.wait([writing], timeout=6)
        await other.close()

    assert [line["event"] for line in lines] == []
    assert writing.result()


async def note(connection: Connection) -> str:
    return await connection.execute("INSERT INTO mqjobs.binding VALUES ('a', gen_random_uuid())")


def lose_one_commit(wire: Wire) -> None:
    """The next answer to a commit never arrives."""

    def loses(message: bytes) -> bool:
        if not is_commit(message):
            return False
        wire.loses = lambda _: False
        return True

    wire.loses = loses


async def end(connection: Connection, database_url: str) -> None:
    """The server ends this connection."""
    other = await asyncpg.connect(database_url)
    try:
        await other.execute("SELECT pg_terminate_backend($1)", connection.get_server_pid())
    finally:
        await other.close()
