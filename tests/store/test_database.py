"""The pool, and what a lost server looks like."""

import asyncio
from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from mqjobs.model.errors import ConfigurationError, DatabaseUnavailable
from mqjobs.store.database import is_outage, open_pool, without_password
from mqjobs.store.outages import patiently
from tests.support.servers.network import free_ports
from tests.support.surroundings import through
from tests.support.waiting import eventually
from tests.support.wire import Wire

AT_ONCE = timedelta(0)


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(),
        ConnectionResetError(),
        TimeoutError(),
        asyncpg.ConnectionDoesNotExistError(),
        asyncpg.ConnectionFailureError(),
        asyncpg.CannotConnectNowError(),
        asyncpg.AdminShutdownError(),
        asyncpg.CrashShutdownError(),
        asyncpg.TooManyConnectionsError(),
        asyncpg.SerializationError(),
        asyncpg.DeadlockDetectedError(),
        asyncpg.ReadOnlySQLTransactionError(),
        asyncpg.DiskFullError(),
        asyncpg.QueryCanceledError(),
        asyncpg.LockNotAvailableError(),
        asyncpg.IdleInTransactionSessionTimeoutError(),
        asyncpg.PostgresIOError(),
        asyncpg.InterfaceError("cannot perform operation: connection is closed"),
        asyncpg.InterfaceError(
            "cannot call Connection.fetch(): connection has been released back to the pool"
        ),
    ],
    ids=repr,
)
def test_what_may_succeed_later_is_an_outage(error: Exception) -> None:
    assert is_outage(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError(),
        asyncpg.UniqueViolationError(),
        asyncpg.UndefinedTableError(),
        asyncpg.DataError(),
        asyncpg.CheckViolationError(),
        asyncpg.InsufficientPrivilegeError(),
        asyncpg.InterfaceError("another operation is in progress"),
        asyncpg.InterfaceError("pool is closing"),
        asyncpg.InterfaceError("pool is closed"),
        DatabaseUnavailable(),
    ],
    ids=repr,
)
def test_what_would_fail_again_is_none(error: Exception) -> None:
    assert not is_outage(error)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("postgresql://ann:secret@db.example:5433/jobs", "postgresql://ann@db.example:5433/jobs"),
        ("amqp://guest:secret@[::1]:5672/%2f", "amqp://guest@::1:5672/%2f"),
        ("postgresql://db/jobs?password=secret&sslmode=require", "postgresql://db/jobs"),
        ("postgresql:///jobs?host=/tmp", "postgresql://local socket/jobs"),
        ("postgresql://ann:se:cr@et@db/jobs", "postgresql://ann@db/jobs"),
        ("amqp://host:port/", "(unreadable address)"),
        ("amqp://ann:12#3@db/", "(unreadable address)"),
        ("postgresql://ann:12/3@db/jobs", "(unreadable address)"),
        ("postgresql://ann:12?3@db/jobs", "(unreadable address)"),
    ],
)
def test_an_address_is_shown_without_what_is_secret_in_it(url: str, shown: str) -> None:
    assert without_password(url) == shown


async def test_a_pool_speaks_json_and_closes_with_its_block(shared_url: str) -> None:
    async with open_pool(shared_url, size=2) as pool:
        assert await pool.fetchval("SELECT $1::jsonb", {"a": [1, None]}) == {"a": [1, None]}

    with pytest.raises(asyncpg.InterfaceError, match="closed"):
        await pool.fetchval("SELECT 1")


async def test_a_connection_that_is_held_for_too_long_is_ended_and_the_pool_goes_on(
    shared_url: str,
) -> None:
    async with open_pool(shared_url, size=1, held_at_most=timedelta(seconds=1)) as pool:
        for _ in range(2):
            with pytest.raises(asyncpg.PostgresConnectionError) as cut:
                await pool.execute("SELECT pg_sleep(600)")
            assert is_outage(cut.value)
            assert await pool.fetchval("SELECT 1") == 1


async def test_what_is_done_after_a_connection_was_ended_is_an_outage_too(shared_url: str) -> None:
    ended = list[object]()
    async with (
        open_pool(shared_url, size=1, held_at_most=timedelta(seconds=0.2)) as pool,
        pool.acquire() as connection,
    ):
        connection.add_termination_listener(ended.append)
        await eventually(lambda: ended)
        with pytest.raises(asyncpg.InterfaceError) as cut:
            await connection.fetchval("SELECT 1")
    assert is_outage(cut.value)


async def test_connections_that_nobody_held_are_ended_with_the_one_that_was_silent(
    shared_url: str,
) -> None:
    ended = list[object]()
    async with open_pool(shared_url, size=3, held_at_most=timedelta(seconds=0.5)) as pool:
        async with pool.acquire() as one, pool.acquire() as two, pool.acquire() as three:
            for connection in (one, two, three):
                connection.add_termination_listener(ended.append)
        with pytest.raises(asyncpg.PostgresConnectionError):
            await pool.execute("SELECT pg_sleep(600)")
        await eventually(lambda: len(ended) == 3)


async def test_what_is_given_back_in_time_is_not_ended(shared_url: str) -> None:
    async with open_pool(shared_url, size=1, held_at_most=timedelta(seconds=1)) as pool:
        pids = {await pool.fetchval("SELECT pg_backend_pid()") for _ in range(3)}
        await pool.fetchval("SELECT pg_sleep(0.6)")
        await pool.fetchval("SELECT pg_sleep(0.6)")
        assert {await pool.fetchval("SELECT pg_backend_pid()")} == pids


async def test_a_call_that_was_cut_off_gets_longer_until_it_comes_to_its_end(
    shared_url: str,
) -> None:
    tries = list[int]()
    async with open_pool(shared_url, size=1, held_at_most=timedelta(seconds=0.5)) as pool:

        async def act() -> str:
            tries.append(1)
            return str(await pool.fetchval("SELECT pg_sleep(1.2)"))

        with capture_logs() as lines:
            await patiently("something slow", act)
    assert len(tries) > 1
    assert lines[0]["error"] == "no answer in time"


@pytest.mark.parametrize("size", [1, 3])
async def test_a_server_that_has_gone_silent_is_noticed_in_time_by_all_and_its_return_too(
    shared_url: str, size: int
) -> None:
    answered = list[int]()
    async with (
        Wire.to(shared_url) as wire,
        open_pool(
            through(wire, shared_url), size=size, held_at_most=timedelta(seconds=0.5)
        ) as pool,
        asyncio.TaskGroup() as group,
    ):

        async def ask() -> None:
            answered.append(await patiently("a number", lambda: pool.fetchval("SELECT 1")))

        await ask()
        wire.is_silent = True
        with capture_logs() as lines:
            for _ in range(5):
                group.create_task(ask())
            await eventually(lambda: lines)
            wire.is_silent = False
            await eventually(lambda: len(answered) == 6, within=timedelta(seconds=45))
            await eventually(lambda: lines[-1]["event"] == "database_back")
    assert [line["event"] for line in lines] == ["database_away", "database_back"]


async def test_no_statement_is_kept_prepared_where_the_setting_says_so(shared_url: str) -> None:
    async with (
        open_pool(shared_url, size=1, statement_cache_size=0) as pool,
        pool.acquire() as connection,
    ):
        await connection.fetchval("SELECT $1::integer", 1)
        found = "SELECT count(*) FROM pg_prepared_statements WHERE name <> ''"
        assert await connection.fetchval(found) == 0


async def test_an_error_in_the_block_comes_out_as_itself(shared_url: str) -> None:
    with pytest.raises(ZeroDivisionError):
        async with open_pool(shared_url):
            raise ZeroDivisionError


async def test_a_server_that_does_not_come_is_told_with_its_address_and_the_wait() -> None:
    [port] = free_ports(1)

    with capture_logs() as lines, pytest.raises(DatabaseUnavailable) as refused:
        async with open_pool(
            f"postgresql://ann:secret@127.0.0.1:{port}/jobs",
            connect_timeout=timedelta(seconds=0.1),
        ):
            pass

    assert str(refused.value).startswith(
        f"no PostgreSQL at postgresql://ann@127.0.0.1:{port}/jobs within 0.1 s: "
    )
    assert [line["event"] for line in lines] == ["database_awaited"]


async def test_a_database_that_is_not_there_is_a_setting_to_mend(shared_url: str) -> None:
    url = shared_url.replace("/mqjobs_test_", "/no_")

    with pytest.raises(ConfigurationError, match=r"refuses us: .*; see MQJOBS_DATABASE_URL"):
        async with open_pool(url, connect_timeout=AT_ONCE):
            pass


@pytest.mark.parametrize(
    "url",
    [
        "mysql://ann:secret@db/jobs",
        "postgresql://db:port/jobs",
        "x",
        "postgresql://ann:secret#1@db/jobs",
        "postgresql://ann:secret/1@db/jobs",
        "postgresql://ann:1?secret@db/jobs",
    ],
)
async def test_an_address_that_cannot_be_read_names_the_variable_and_no_secret(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MQJOBS_DATABASE_URL cannot be read") as refused:
        async with open_pool(url, connect_timeout=AT_ONCE):
            pass

    assert "secret" not in str(refused.value)
