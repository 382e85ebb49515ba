"""A connection of one's own: whoever asks on it gets an answer or an error in time."""

from datetime import timedelta

import asyncpg
import pytest

from mqjobs.store.database import Connection, is_outage
from mqjobs.store.own_connection import OwnConnection
from tests.support.surroundings import through
from tests.support.wire import Wire

SOON = timedelta(seconds=1)
LONG = timedelta(minutes=1)


async def its_pid(connection: Connection) -> int:
    pid: int = await connection.fetchval("SELECT pg_backend_pid()")
    return pid


async def sleep_for_ever(connection: Connection) -> None:
    await connection.execute("SELECT pg_sleep(600)")


async def test_it_is_made_once_and_stays(shared_url: str) -> None:
    own = OwnConnection(shared_url)
    async with own.kept():
        assert await own.ask(its_pid, at_most=LONG) == await own.ask(its_pid, at_most=LONG)


async def test_what_is_asked_is_done_or_not_done(shared_url: str, other: Connection) -> None:
    async def half(connection: Connection) -> None:
        await connection.execute("CREATE TABLE half_done ()")
        raise ZeroDivisionError

    own = OwnConnection(shared_url)
    async with own.kept():
        with pytest.raises(ZeroDivisionError):
            await own.ask(half, at_most=LONG)

    assert await other.fetchval("SELECT to_regclass('half_done')") is None


async def test_who_gets_no_answer_is_told_in_time_and_the_next_has_a_new_connection(
    shared_url: str,
) -> None:
    own = OwnConnection(shared_url)
    async with own.kept():
        first = await own.ask(its_pid, at_most=LONG)
        with pytest.raises(asyncpg.InterfaceError) as cut:
            await own.ask(sleep_for_ever, at_most=SOON)
        assert is_outage(cut.value)
        assert await own.ask(its_pid, at_most=LONG) != first


async def test_a_server_that_has_gone_silent_is_an_outage_also_while_connecting(
    shared_url: str,
) -> None:
    async with Wire.to(shared_url) as wire:
        own = OwnConnection(through(wire, shared_url))
        async with own.kept():
            for _ in range(2):  # on a connection, and on the way to one
                await own.ask(its_pid, at_most=LONG)
                wire.is_silent = True
                for _ in range(2):
                    with pytest.raises(Exception) as cut:  # noqa: PT011  whichever it is
                        await own.ask(its_pid, at_most=SOON)
                    assert is_outage(cut.value)
                wire.mend()


async def test_it_is_gone_with_its_block_though_the_server_is_silent(shared_url: str) -> None:
    async with Wire.to(shared_url) as wire:
        own = OwnConnection(through(wire, shared_url))
        async with own.kept():
            await own.ask(its_pid, at_most=LONG)
            wire.is_silent = True
