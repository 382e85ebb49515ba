"""What is true of RabbitMQ alone: losing it, finding it again, and what it refuses."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from datetime import timedelta
from functools import partial
from typing import Any

import aio_pika
import pytest
from aiormq.exceptions import ChannelClosed
from structlog.testing import capture_logs
from uuid_utils.compat import uuid7

from mqjobs.model.errors import BrokerUnavailable, ConfigurationError
from mqjobs.model.message import Binding
from mqjobs.model.priority import Priority
from mqjobs.transport.rabbitmq import open_rabbitmq
from mqjobs.transport.rabbitmq.connection import version_of
from mqjobs.transport.rabbitmq.transport import choose_queue_type
from mqjobs.transport.seam import Delivery, Inbox, Publication, Transport
from tests.support.amqp import Declared
from tests.support.envelopes import an_envelope
from tests.support.servers import Broker
from tests.support.servers.network import free_ports
from tests.support.waiting import eventually
from tests.support.wire import Wire
from tests.transport.conftest import Carrier

SOON = timedelta(seconds=30)


@asynccontextmanager
async def channel_to(url: str) -> AsyncIterator[aio_pika.abc.AbstractChannel]:
    """A channel past the transport, for what other programs do."""
    async with await aio_pika.connect(url) as connection, connection.channel() as channel:
        yield channel


async def collect(inbox: Inbox, seen: list[Delivery], *, settle: bool = True) -> None:
    """Take deliveries until the inbox is closed."""
    async for delivery in inbox.deliveries():
        seen.append(delivery)
        if settle:
            inbox.ack(delivery)


async def publish_until_taken(transport: Transport, body: bytes, queue: str) -> None:
    """Publish, again and again while the broker is away."""

    async def is_published() -> bool:
        try:
            envelope = an_envelope("t", body=body, queue=queue)
            return await transport.publish([envelope]) == [Publication.CONFIRMED]
        except BrokerUnavailable:
            return False

    await eventually(is_published, within=SOON)


def has(seen: list[Delivery], count: int) -> bool:
    """Whether so many were delivered."""
    return len(seen) >= count


def bodies(deliveries: list[Delivery]) -> set[bytes]:
    """What was delivered."""
    return {delivery.envelope.body for delivery in deliveries}


async def test_an_inbox_consumes_again_after_a_restart_of_the_broker(
    rabbitmq_carrier: Carrier, broker: Broker
) -> None:
    queue, seen = rabbitmq_carrier.queue("restart"), list[Delivery]()
    with capture_logs() as logs:
        async with rabbitmq_carrier.open() as transport:
            await transport.declare([Binding(queue, "t")])
            async with (
                transport.inbox([queue], prefetch=10, consumer_id=uuid7()) as inbox,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(collect(inbox, seen))
                await publish_until_taken(transport, b"before", queue)
                await eventually(lambda: bodies(seen) == {b"before"})
                await asyncio.to_thread(broker.stop)
                with pytest.raises(BrokerUnavailable):
                    await transport.publish([an_envelope("t")])
                with pytest.raises(BrokerUnavailable):
                    await transport.queue_states([queue])
                await asyncio.to_thread(broker.start)
                await publish_until_taken(transport, b"after", queue)
                await eventually(lambda: bodies(seen) == {b"before", b"after"}, within=SOON)
                await inbox.close()
                await eventually(lambda: "broker_back" in [entry["event"] for entry in logs])
    events = [(entry["event"], entry["log_level"]) for entry in logs]
    assert events.count(("broker_lost", "warning")) == 1
    assert events.count(("broker_back", "info")) == 1


async def test_an_inbox_consumes_again_after_its_connection_was_closed(
    rabbitmq_carrier: Carrier, broker: Broker
) -> None:
    queue, seen = rabbitmq_carrier.queue("closed"), list[Delivery]()
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with (
            transport.inbox([queue], prefetch=10, consumer_id=uuid7()) as inbox,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(collect(inbox, seen, settle=False))
            await publish_until_taken(transport, b"1", queue)
            await eventually(lambda: len(seen) == 1)
            await asyncio.to_thread(broker.rabbitmqctl, "close_all_connections", "for a test")
            await eventually(lambda: len(seen) == 2, within=SOON)
            first, again = seen
            inbox.ack(first)  # of a channel that is gone: forgotten
            inbox.ack(again)
            await publish_until_taken(transport, b"2", queue)
            await eventually(lambda: len(seen) == 3, within=SOON)
            inbox.ack(seen[2])
            await inbox.close()
        [state] = await transport.queue_states([queue])
        assert state.ready == 0
    assert not first.redelivered
    assert again.redelivered
    assert first.envelope == again.envelope


async def test_nothing_is_lost_while_connections_are_closed_under_load(
    rabbitmq_carrier: Carrier, broker: Broker
) -> None:
    queue, seen, published = rabbitmq_carrier.queue("load"), list[Delivery](), set[bytes]()
    all_cut = asyncio.Event()

    async def publish(transport: Transport) -> None:
        while not all_cut.is_set():
            batch = [b"%d" % number for number in range(len(published), len(published) + 20)]
            async with asyncio.TaskGroup() as group:
                for body in batch:
                    group.create_task(publish_until_taken(transport, body, queue))
            published.update(batch)

    async def cut() -> None:
        for _ in range(3):
            await asyncio.to_thread(broker.rabbitmqctl, "close_all_connections", "for a test")
            await eventually(partial(has, seen, len(seen) + 200), within=SOON)
        all_cut.set()

    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with (
            transport.inbox([queue], prefetch=20, consumer_id=uuid7()) as inbox,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(collect(inbox, seen))
            async with asyncio.TaskGroup() as both:
                both.create_task(publish(transport))
                both.create_task(cut())
            await eventually(lambda: bodies(seen) >= published, within=SOON)
            await inbox.close()
        [state] = await transport.queue_states([queue])
        assert state.ready == 0


async def test_an_inbox_declares_its_queue_again_when_it_was_deleted(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    gone, other = rabbitmq_carrier.queue("gone"), rabbitmq_carrier.queue("other")
    seen = list[Delivery]()
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(gone, "t"), Binding(gone, "u"), Binding(other, "o")])
        async with (
            transport.inbox([gone, other], prefetch=10, consumer_id=uuid7()) as inbox,
            asyncio.TaskGroup() as group,
        ):
            group.create_task(collect(inbox, seen, settle=False))
            await transport.publish([an_envelope("o", body=b"held")])
            await eventually(lambda: bodies(seen) == {b"held"})
            for round_ in (1, 2):
                async with channel_to(amqp_url) as channel:
                    await channel.queue_delete(gone)
                await eventually(lambda: is_consumed(transport, gone))
                await transport.publish([an_envelope("t", body=b"t%d" % round_)])
                await transport.publish([an_envelope("u", body=b"u%d" % round_)])
                await eventually(partial(has, seen, 1 + 2 * round_))
            inbox.ack(seen[0])
            await inbox.close()
    assert len(bodies(seen)) == len(seen) == 5, "what is held of another queue comes once"


async def is_consumed(transport: Transport, queue: str) -> bool:
    """Whether the queue is there and somebody consumes from it."""
    return [state.consumers for state in await transport.queue_states([queue])] == [1]


async def test_a_consumer_says_that_it_is_there(rabbitmq_carrier: Carrier) -> None:
    queue = rabbitmq_carrier.queue("watched")
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            await eventually(lambda: is_consumed(transport, queue))
            await inbox.close()
            [state] = await transport.queue_states([queue])
            assert state.consumers == 0


async def test_an_exchange_that_was_deleted_is_there_again_for_the_next_message(
    rabbitmq_carrier: Carrier, amqp_url: str, amqp_declared: Declared
) -> None:
    queue = rabbitmq_carrier.queue("exchange")
    [exchange] = amqp_declared.exchanges
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t")])
        async with channel_to(amqp_url) as channel:
            await channel.exchange_delete(exchange)
        with pytest.raises(BrokerUnavailable, match="no exchange"):
            await transport.publish([an_envelope("t"), an_envelope("t")])
        assert await transport.publish([an_envelope("t")]) == [Publication.CONFIRMED]


async def test_a_queue_that_was_deleted_is_there_again_before_a_message_is_unroutable(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    queue, other = rabbitmq_carrier.queue("deleted"), rabbitmq_carrier.queue("never there")
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with channel_to(amqp_url) as channel:
            await channel.queue_delete(queue)
        published = await transport.publish(
            [an_envelope("t"), an_envelope("t", queue=queue), an_envelope("t", queue=other)]
        )
        assert published == [
            Publication.CONFIRMED,
            Publication.CONFIRMED,
            Publication.UNROUTABLE,
        ]
        [state] = await transport.queue_states([queue])
        assert state.ready == 2


async def test_a_queue_that_is_there_again_as_another_leaves_its_messages_unroutable(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    queue = rabbitmq_carrier.queue("another")
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with channel_to(amqp_url) as channel:
            await channel.queue_delete(queue)
            await channel.declare_queue(queue, durable=True)
        assert await transport.publish([an_envelope("t")]) == [Publication.UNROUTABLE]


async def test_a_message_that_amqp_cannot_carry_stops_no_other(rabbitmq_carrier: Carrier) -> None:
    queue = rabbitmq_carrier.queue("unwritable")
    too_large = an_envelope("t", headers={f"h{n}": "x" * 2_000 for n in range(100)})
    not_text = an_envelope("t", headers={"broken": "\ud800"})
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        published = await transport.publish(
            [an_envelope("t"), too_large, not_text, an_envelope("t")]
        )
        assert published == [
            Publication.CONFIRMED,
            Publication.UNROUTABLE,
            Publication.UNROUTABLE,
            Publication.CONFIRMED,
        ]
        [state] = await transport.queue_states([queue])
        assert state.ready == 2


@contextmanager
def taking_no_more_than(size: int, broker: Broker) -> Iterator[None]:
    """Within the block the broker refuses messages that are larger, on channels that are opened then."""
    variable = "rabbit, max_message_size"
    usual = broker.rabbitmqctl("eval", f"element(2, application:get_env({variable})).").strip()
    broker.rabbitmqctl("eval", f"application:set_env({variable}, {size}).")
    try:
        yield
    finally:
        broker.rabbitmqctl("eval", f"application:set_env({variable}, {usual}).")


async def test_a_message_that_the_broker_refuses_stops_no_other(
    rabbitmq_carrier: Carrier, broker: Broker
) -> None:
    queue = rabbitmq_carrier.queue("refused")
    with taking_no_more_than(50_000, broker):
        async with rabbitmq_carrier.open() as transport:
            await transport.declare([Binding(queue, "t")])
            large = an_envelope("t", body=b" " * 60_000)
            envelopes = [an_envelope("t"), large, an_envelope("t")]

            with capture_logs() as logs:
                published = await transport.publish(envelopes)

            assert published == [
                Publication.CONFIRMED,
                Publication.UNROUTABLE,
                Publication.CONFIRMED,
            ]
            assert await transport.publish([an_envelope("t")]) == [Publication.CONFIRMED]
    assert [line["event"] for line in logs] == ["message_refused"]


async def test_the_largest_headers_that_fit_arrive(rabbitmq_carrier: Carrier) -> None:
    queue = rabbitmq_carrier.queue("large")
    headers = {f"h{n:03}": "x" * 1_270 for n in range(100)}
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        assert await transport.publish([an_envelope("t", headers=headers)]) == [
            Publication.CONFIRMED
        ]
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            delivery = await anext(inbox.deliveries())
    assert delivery.envelope.headers == headers


@pytest.mark.parametrize(
    "properties",
    [
        {},
        {"message_id": "not a uuid", "type": "t", "priority": 255},
        {"headers": {"mqjobs-attempt": "x", "n": 1, "list": [1, {"a": None}]}},
        {"timestamp": 2**33, "expiration": 100_000, "content_type": "image/png"},
    ],
)
async def test_messages_of_other_programs_are_read(
    rabbitmq_carrier: Carrier, amqp_url: str, properties: dict[str, Any]
) -> None:
    queue = rabbitmq_carrier.queue("foreign")
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with channel_to(amqp_url) as channel:
            message = aio_pika.Message(b"foreign", **properties)
            await channel.default_exchange.publish(message, queue)
        async with transport.inbox([queue], prefetch=1, consumer_id=uuid7()) as inbox:
            delivery = await anext(inbox.deliveries())
            inbox.ack(delivery)
        [state] = await transport.queue_states([queue])
        assert state.ready == 0
    assert delivery.envelope.body == b"foreign"
    assert delivery.envelope.topic in (queue, "t")


async def test_a_wrong_password_is_an_error_of_the_configuration(amqp_url: str) -> None:
    wrong = amqp_url.replace("guest:guest@", "guest:s3cret@")
    with pytest.raises(ConfigurationError, match="MQJOBS_BROKER_URL") as caught:
        async with open_rabbitmq(wrong, connect_timeout=SOON):
            pass
    assert "s3cret" not in str(caught.value)
    assert ".;" not in str(caught.value)


async def test_a_virtual_host_that_is_not_there_is_an_error_of_the_configuration(
    amqp_url: str,
) -> None:
    with pytest.raises(ConfigurationError, match="nowhere refuses us: the virtual host"):
        async with open_rabbitmq(f"{amqp_url}nowhere", connect_timeout=SOON):
            pass


@pytest.mark.parametrize("url", ["", "http://guest:s3cret@host/", "amqp://", "amqp://h:port/"])
async def test_an_address_that_cannot_be_read_is_an_error_of_the_configuration(url: str) -> None:
    with pytest.raises(ConfigurationError, match="MQJOBS_BROKER_URL") as caught:
        async with open_rabbitmq(url, connect_timeout=SOON):
            pass
    assert "s3cret" not in str(caught.value)


async def test_a_broker_that_does_not_come_is_unavailable_in_time() -> None:
    [port] = free_ports(1)
    url = f"amqp://guest:s3cret@127.0.0.1:{port}/"
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    with capture_logs() as logs, pytest.raises(BrokerUnavailable, match=str(port)) as caught:
        async with open_rabbitmq(url, connect_timeout=timedelta(seconds=1)):
            pass
    assert loop.time() - began_at < 3
    assert [entry["event"] for entry in logs] == ["broker_awaited"]
    assert "s3cret" not in f"{caught.value} {logs}"


async def test_a_server_that_never_answers_is_unavailable_in_time() -> None:
    async def say_nothing(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await ended.wait()
        writer.close()

    ended = asyncio.Event()
    async with await asyncio.start_server(say_nothing, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(BrokerUnavailable, match="no answer in time"):
            async with open_rabbitmq(
                f"amqp://127.0.0.1:{port}/", connect_timeout=timedelta(seconds=1)
            ):
                pass
        ended.set()


async def test_a_queue_with_other_arguments_is_an_error_of_the_configuration(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    queue, fine = rabbitmq_carrier.queue("otherwise"), rabbitmq_carrier.queue("fine")
    async with channel_to(amqp_url) as channel:
        await channel.declare_queue(queue, durable=True)
    async with rabbitmq_carrier.open() as transport:
        with pytest.raises(ConfigurationError, match=f"'{queue}'.*MQJOBS_QUEUE_TYPE"):
            await transport.declare([Binding(queue, "t")])
        await transport.declare([Binding(fine, "f")])
        assert await transport.publish([an_envelope("f")]) == [Publication.CONFIRMED]


async def test_what_is_published_survives_as_a_durable_message_in_a_durable_queue(
    rabbitmq_carrier: Carrier, amqp_url: str
) -> None:
    queue = rabbitmq_carrier.queue("durable")
    envelope = an_envelope("some.topic", priority=Priority.HIGH, attempt=2)
    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "some.topic")])
        await transport.publish([envelope])
    async with channel_to(amqp_url) as channel:
        with pytest.raises(ChannelClosed, match="durable"):
            await channel.declare_queue(queue, durable=False, arguments={"x-max-priority": 4})
    async with channel_to(amqp_url) as channel:
        found = await (await channel.get_queue(queue)).get(no_ack=True)
    assert found is not None
    assert found.delivery_mode == aio_pika.DeliveryMode.PERSISTENT
    assert (found.message_id, found.type) == (str(envelope.id), "some.topic")
    assert found.content_type == "application/json"
    assert found.expiration is None
    assert found.headers["mqjobs-attempt"] == 2


async def test_quorum_queues_carry_messages(
    amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    queue = f"{amqp_prefix}quorum"
    amqp_declared.queues.add(queue)
    amqp_declared.exchanges.add(f"{amqp_prefix}mqjobs")
    async with open_rabbitmq(
        amqp_url, exchange=f"{amqp_prefix}mqjobs", queue_type="quorum", connect_timeout=SOON
    ) as transport:
        await transport.declare([Binding(queue, "t")])
        await transport.publish([an_envelope("t", priority=priority) for priority in Priority])
        async with transport.inbox([queue], prefetch=5, consumer_id=uuid7()) as inbox:
            deliveries = inbox.deliveries()
            first = await anext(deliveries)
            inbox.give_back(first)
            seen = [await anext(deliveries) for _ in Priority]
            for delivery in seen:
                inbox.ack(delivery)
        [state] = await transport.queue_states([queue])
        assert state.ready == 0
    assert sorted(delivery.envelope.priority for delivery in seen) == sorted(Priority)
    assert all("x-delivery-count" not in delivery.envelope.headers for delivery in seen)


@pytest.mark.parametrize(
    ("setting", "version", "chosen"),
    [
        ("auto", "3.10.8", "classic"),
        ("auto", "3.13.7", "classic"),
        ("auto", "4.0.0-rc.1", "quorum"),
        ("auto", "4.3.1", "quorum"),
        ("auto", "unknown", "classic"),
        ("classic", "4.1.0", "classic"),
        ("quorum", "3.10.8", "quorum"),
    ],
)
def test_the_queue_type_follows_the_version_unless_it_is_set(
    setting: Any, version: str, chosen: str
) -> None:
    assert choose_queue_type(setting, version_of(version)) == chosen


async def test_a_connection_that_went_silent_is_given_up(
    amqp_url: str, amqp_prefix: str, amqp_declared: Declared
) -> None:
    queue, seen = f"{amqp_prefix}silent", list[Delivery]()
    amqp_declared.queues.add(queue)
    amqp_declared.exchanges.add(f"{amqp_prefix}mqjobs")
    async with Wire.to(amqp_url) as wire:
        url = f"amqp://guest:guest@127.0.0.1:{wire.port}/?heartbeat=1"
        async with open_rabbitmq(
            url, exchange=f"{amqp_prefix}mqjobs", connect_timeout=SOON
        ) as transport:
            await transport.declare([Binding(queue, "t")])
            async with (
                transport.inbox([queue], prefetch=5, consumer_id=uuid7()) as inbox,
                asyncio.TaskGroup() as group,
            ):
                group.create_task(collect(inbox, seen))
                await publish_until_taken(transport, b"before", queue)
                await eventually(lambda: has(seen, 1))
                wire.is_silent = True
                with pytest.raises(BrokerUnavailable):
                    await transport.publish([an_envelope("t", body=b"x" * 100_000)] * 50)
                wire.mend()
                await publish_until_taken(transport, b"after", queue)
                await eventually(lambda: b"after" in bodies(seen), within=SOON)
                await inbox.close()


async def test_a_broker_that_is_short_of_memory_is_away_for_who_publishes_and_hears_acks(
    rabbitmq_carrier: Carrier, broker: Broker
) -> None:
    queue, seen = rabbitmq_carrier.queue("short"), list[Delivery]()

    async def is_turned_away() -> bool:
        try:
            async with asyncio.timeout(0.5):
                await transport.publish([an_envelope("t", queue=queue)])
        except (BrokerUnavailable, TimeoutError) as error:
            return "short of memory" in str(error)
        return False

    async with rabbitmq_carrier.open() as transport:
        await transport.declare([Binding(queue, "t")])
        async with (
            transport.inbox([queue], prefetch=2, consumer_id=uuid7()) as inbox,
            asyncio.TaskGroup() as group,
        ):
            await transport.publish([an_envelope("t") for _ in range(10)])
            await asyncio.to_thread(broker.rabbitmqctl, "set_vm_memory_high_watermark", "0.0001")
            try:
                await eventually(is_turned_away, within=SOON)
                group.create_task(collect(inbox, seen))
                await eventually(partial(has, seen, 10))
            finally:
                await asyncio.to_thread(broker.rabbitmqctl, "set_vm_memory_high_watermark", "0.4")
            await publish_until_taken(transport, b"again", queue)
            await eventually(lambda: b"again" in bodies(seen))
            await inbox.close()
