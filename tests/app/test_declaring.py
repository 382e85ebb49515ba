"""Declaring at start: a server that goes away just then is waited for."""

from datetime import timedelta

import asyncpg
import pytest

from mqjobs.app.app import App
from mqjobs.app.settings import Settings
from mqjobs.model.errors import BrokerUnavailable
from tests.faults.answers import split_amqp
from tests.support.amqp import Declared
from tests.support.processors import Hearing
from tests.support.topics import Note
from tests.support.wire import Wire

QUEUE_IS_DECLARED = (50).to_bytes(2) + (11).to_bytes(2)
HEADER = 7


class Loses:
    """Loses the broker's answers to declarations of queues, the first few or all; the connection is torn each time."""

    def __init__(self, count: int) -> None:
        self.left = count
        self.lost = 0

    def __call__(self, frame: bytes) -> bool:
        if not self.left or frame[HEADER : HEADER + 4] != QUEUE_IS_DECLARED:
            return False
        self.left -= 1
        self.lost += 1
        return True


def app_over(wire: Wire, database_url: str, prefix: str, connect_timeout: timedelta) -> App:
    """An app of one processor, whose broker is at the other end of the wire."""
    app = App(
        Settings(
            database_url=database_url,
            broker_url=f"amqp://guest:guest@127.0.0.1:{wire.port}/",
            exchange=f"{prefix}mqjobs",
            connect_timeout=connect_timeout,
        )
    )
    app.subscribe(Hearing(Note, queue=f"{prefix}notes"))
    return app


async def test_a_connection_that_is_cut_while_queues_are_declared_is_no_reason_to_give_up(
    database_url: str, amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    amqp_declared.queues.add(f"{amqp_prefix}notes")
    amqp_declared.exchanges.add(f"{amqp_prefix}mqjobs")
    async with Wire.to(amqp_url, split=split_amqp) as wire:
        wire.loses = loses = Loses(2)

        async with app_over(wire, database_url, amqp_prefix, timedelta(seconds=30)).open() as mq:
            sent = await mq.producer.send(Note(text="heard"))

    assert loses.lost == 2
    assert sent.blocked_by is None


async def test_a_broker_that_goes_away_while_queues_are_declared_is_told_after_the_connect_timeout(
    database_url: str, amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    amqp_declared.queues.add(f"{amqp_prefix}notes")
    amqp_declared.exchanges.add(f"{amqp_prefix}mqjobs")
    async with Wire.to(amqp_url, split=split_amqp) as wire:
        wire.loses = loses = Loses(1000)

        with pytest.raises(BrokerUnavailable):
            async with app_over(wire, database_url, amqp_prefix, timedelta(seconds=1)).open():
                pass

    assert loses.lost > 1


async def test_queues_are_known_in_the_database_too(database_url: str) -> None:
    app = App(Settings(database_url=database_url))
    app.subscribe(Hearing(Note, queue="notes"))

    async with app.open():
        connection = await asyncpg.connect(database_url)
        try:
            queues = await connection.fetch("SELECT queue, topic FROM mqjobs.binding")
        finally:
            await connection.close()

    assert [tuple(row) for row in queues] == [("notes", "tests.note")]
