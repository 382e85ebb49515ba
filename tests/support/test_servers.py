"""The servers that the tests stand on."""

from asyncio import to_thread

import aio_pika
import asyncpg
import pytest

from tests.support.amqp import Declared, write_declarations
from tests.support.servers import Broker, ServerError
from tests.support.servers.broker import GivenBroker
from tests.support.servers.network import free_ports, listens


def test_free_ports_are_different_and_free() -> None:
    ports = free_ports(5)

    assert len(set(ports)) == 5
    assert not any(listens(port) for port in ports)


def test_a_broker_of_somebody_else_is_never_ended() -> None:
    given = GivenBroker("amqp://guest:guest@127.0.0.1/")

    given.remove()

    with pytest.raises(ServerError, match="MQJOBS_TEST_AMQP_URL"):
        given.kill()


async def test_a_durable_message_survives_the_kill_of_its_broker(
    broker: Broker, amqp_prefix: str, amqp_declared: Declared
) -> None:
    name = f"{amqp_prefix}kept"
    amqp_declared.queues.add(name)
    async with await aio_pika.connect(broker.url) as connection, connection.channel() as channel:
        await channel.declare_queue(name, durable=True)
        message = aio_pika.Message(b"kept", delivery_mode=aio_pika.DeliveryMode.PERSISTENT)
        await channel.default_exchange.publish(message, name)

    await to_thread(write_declarations, broker)
    await to_thread(broker.kill)
    await to_thread(broker.start)

    async with await aio_pika.connect(broker.url) as connection, connection.channel() as channel:
        queue = await channel.declare_queue(name, durable=True)
        assert (await queue.get(no_ack=True)).body == b"kept"


@pytest.mark.parametrize("turn", ["first", "second"])
async def test_each_test_has_a_database_of_its_own(database_url: str, turn: str) -> None:
    connection = await asyncpg.connect(database_url)
    try:
        await connection.execute("CREATE TABLE only_here AS SELECT $1::text AS turn", turn)
        assert await connection.fetchval("SELECT turn FROM only_here") == turn
        assert await connection.fetchval("SELECT to_regclass('mqjobs.job') IS NOT NULL")
    finally:
        await connection.close()
