"""The pool, and what a lost server looks like."""

from datetime import timedelta

import asyncpg
import pytest
from structlog.testing import capture_logs

from mqjobs.model.errors import ConfigurationError, DatabaseUnavailable
from mqjobs.store.database import is_outage, open_pool, without_password
from tests.support.servers.network import free_ports

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
