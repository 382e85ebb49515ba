"""After a fault the inbox consumes again by itself: broken wires, lost queues, strangers' messages."""

import asyncio
import struct
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta

import aio_pika
import aiormq
import pamqp.frame
import pytest
from aiormq.abc import ChannelFrame
from pamqp.body import ContentBody
from pamqp.commands import Basic
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Binding
from mqjobs.transport.rabbitmq import open_rabbitmq
from mqjobs.transport.seam import Delivery, Inbox, Publication, Transport
from tests.support.amqp import Declared
from tests.support.envelopes import an_envelope
from tests.support.servers import Broker
from tests.support.waiting import eventually
from tests.support.wire import Wire
from tests.transport.conftest import Carrier

SOON = timedelta(seconds=30)


@asynccontextmanager
async def taking(
    transport: Transport, queue: str, *, settle: bool = True
) -> AsyncIterator[list[Delivery]]:
    """What comes from the queue while the block runs."""
    seen = list[Delivery]()

    async def take(inbox: Inbox) -> None:
        async for delivery in inbox.deliveries():
            seen.append(delivery)
            if settle:
                inbox.ack(delivery)

    async with (
        transport.inbox([queue], prefetch=5, consumer_id=uuid7()) as inbox,
        asyncio.TaskGroup() as group,
    ):
        group.create_task(take(inbox))
        yield seen
        await inbox.close()


async def publish_from_elsewhere(url: str, queue: str, body: bytes) -> None:
    """A message that another program sends."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        await channel.default_exchange.publish(aio_pika.Message(body), queue)


async def came(seen: list[Delivery], body: bytes) -> None:
    """The message is here, in time."""
    await eventually(lambda: body in [one.envelope.body for one in seen], within=SOON)


@asynccontextmanager
async def wired(
    wire: Wire, prefix: str, declared: Declared
) -> AsyncIterator[tuple[Transport, str]]:
    """A transport at the end of the wire, and a queue of the test's own."""
    queue, exchange = f"{prefix}wired", f"{prefix}mqjobs"
    declared.queues.add(queue)
    declared.exchanges.add(exchange)
    url = f"amqp://guest:guest@127.0.0.1:{wire.port}/"
    async with open_rabbitmq(url, exchange=exchange, connect_timeout=SOON) as transport:
        await transport.declare([Binding(queue, "t")])
        yield transport, queue


async def test_a_connection_that_gives_no_answer_is_left_long_before_its_heartbeat_is_missed(
    amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    async with (
        Wire.to(amqp_url) as wire,
        wired(wire, amqp_prefix, amqp_declared) as (
            transport,
            queue,
        ),
    ):
        with capture_logs() as lines:
            async with taking(transport, queue) as seen:
                await publish_from_elsewhere(amqp_url, queue, b"before")
                await came(seen, b"before")
                wire.is_silent = True
                await eventually(lambda: "broker_lost" in [line["event"] for line in lines])
                wire.is_silent = False  # what was lost stays lost: those connections never answer
                await publish_from_elsewhere(amqp_url, queue, b"after")
                await came(seen, b"after")
                await eventually(lambda: "broker_back" in [line["event"] for line in lines])
    told = [line["event"] for line in lines if line["event"].startswith("broker")]
    assert told == ["broker_lost", "broker_back"]


async def test_a_connection_that_was_reset_is_made_again(
    amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    async with (
        Wire.to(amqp_url) as wire,
        wired(wire, amqp_prefix, amqp_declared) as (transport, queue),
        taking(transport, queue) as seen,
    ):
        await publish_from_elsewhere(amqp_url, queue, b"before")
        await came(seen, b"before")
        wire.reset()
        await publish_from_elsewhere(amqp_url, queue, b"after")
        await came(seen, b"after")


async def test_a_queue_that_was_deleted_under_the_inbox_is_there_again_with_its_bindings(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    queue = rabbitmq_carrier.queue("deleted")
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with taking(transport, queue) as seen:
            async with await aio_pika.connect(amqp_url) as other, other.channel() as channel:
                await channel.queue_delete(queue)

            async def is_bound() -> bool:
                return await transport.publish([an_envelope("t", body=b"again")]) == [
                    Publication.CONFIRMED
                ]

            await eventually(is_bound, within=SOON)
            await came(seen, b"again")


@contextmanager
def giving_up_acknowledgements_after(seconds: float, broker: Broker) -> Iterator[None]:
    """On channels that are opened within the block the broker waits no longer for acknowledgements."""
    usual = {
        name: broker.rabbitmqctl(
            "eval", f"element(2, application:get_env(rabbit, {name}))."
        ).strip()
        for name in ("consumer_timeout", "channel_tick_interval")
    }
    try:
        for name in usual:
            given = f"application:set_env(rabbit, {name}, {round(1000 * seconds)})."
            broker.rabbitmqctl("eval", given)
        yield
    finally:
        for name, value in usual.items():
            broker.rabbitmqctl("eval", f"application:set_env(rabbit, {name}, {value}).")


async def test_a_channel_that_the_broker_closed_over_a_late_acknowledgement_is_replaced(
    rabbitmq_carrier: Carrier, broker: Broker, amqp_url: str
) -> None:
    queue = rabbitmq_carrier.queue("late")
    with giving_up_acknowledgements_after(1, broker):
        async with rabbitmq_carrier.open() as transport:
            await transport.declare([Binding(queue, "t")])
            async with taking(transport, queue, settle=False) as seen:
                await publish_from_elsewhere(amqp_url, queue, b"slow")
                await eventually(lambda: len(seen) >= 2, within=SOON)
                await publish_from_elsewhere(amqp_url, queue, b"after")
                await came(seen, b"after")
    assert [one.envelope.body for one in seen[:2]] == [b"slow", b"slow"]
    assert seen[1].redelivered


async def test_a_confirm_that_does_not_come_is_an_error_and_the_next_publish_succeeds(
    amqp_url: str,
    amqp_prefix: str,
    amqp_declared: Declared,
) -> None:
    async with (
        Wire.to(amqp_url) as wire,
        wired(wire, amqp_prefix, amqp_declared) as (
            transport,
            queue,
        ),
    ):
        await transport.publish([an_envelope("t")])
        wire.is_silent = True
        with pytest.raises(BrokerUnavailable):
            await transport.publish([an_envelope("t")])
        wire.mend()

        async def is_published() -> bool:
            try:
                await transport.publish([an_envelope("t", body=b"after")])
            except BrokerUnavailable:
                return False
            return True

        await eventually(is_published, within=SOON)
        assert await messages_in(amqp_url, queue) >= 2


async def messages_in(url: str, queue: str) -> int:
    """How many messages wait in the queue."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        found = await channel.declare_queue(queue, passive=True)
        return found.declaration_result.message_count or 0


async def publish_undecodable(url: str, queue: str) -> None:
    """A message whose type is no text, which the driver itself would not send."""
    connection = await aiormq.connect(url)
    channel = await connection.channel(publisher_confirms=False)
    properties = struct.pack(">HHQH", 60, 0, 7, 0x20) + b"\x02\xff\xfe"
    header = struct.pack(">BHI", 2, channel.number, len(properties)) + properties + b"\xce"
    method = pamqp.frame.marshal(Basic.Publish(routing_key=queue), channel.number)
    body = pamqp.frame.marshal(ContentBody(b"foreign"), channel.number)
    await connection.write_queue.put(
        ChannelFrame(payload=method + header + body, should_close=False)
    )
    await channel.close()
    await connection.close()


async def test_a_message_that_the_driver_cannot_decode_comes_without_its_properties(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    queue = rabbitmq_carrier.queue("foreign")
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        with capture_logs() as lines:
            async with taking(transport, queue) as seen:
                await publish_from_elsewhere(amqp_url, queue, b"before")
                await publish_undecodable(amqp_url, queue)
                await publish_from_elsewhere(amqp_url, queue, b"after")
                for body in (b"before", b"foreign", b"after"):
                    await came(seen, body)
        assert await messages_in(amqp_url, queue) == 0
    told = [line["event"] for line in lines]
    assert told.count("reading_carefully") == 1
    assert "unreadable_properties_dropped" in told
