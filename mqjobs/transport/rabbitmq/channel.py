"""One channel to RabbitMQ: what is asked of the broker, and what it delivers."""

import asyncio
import struct
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import aiormq
from aiormq.abc import DeliveredMessage
from pamqp.commands import Basic

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.transport.rabbitmq.driver import Refused, Unwritable, in_our_words
from mqjobs.transport.rabbitmq.envelope import Received
from mqjobs.transport.rabbitmq.lifeline import Lifeline

CONFIRM_TIMEOUT = timedelta(seconds=15)
CLOSE_TIMEOUT = timedelta(seconds=5)
BYTES_AROUND_A_HEADER = 6
BYTES_OF_OTHER_PROPERTIES = 2048


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as a channel delivered it."""

    received: Received
    tag: int
    redelivered: bool


class Channel:
    """One channel of one connection; what is done on it raises BrokerUnavailable when it is gone."""

    def __init__(self, channel: aiormq.Channel, lifeline: Lifeline) -> None:
        self._channel = channel
        self._lifeline = lifeline
        channel.closing.add_done_callback(lambda _: lifeline.cut())

    @property
    def is_closed(self) -> bool:
        """Whether the channel is gone, for good."""
        return self._lifeline.is_cut

    def when_closed(self, tell: Callable[[], None]) -> None:
        """Tell when the channel is gone, now where it is gone already."""
        self._lifeline.when_cut(tell)

    async def close(self) -> None:
        """The channel is gone; what was sent on it before has reached the broker."""
        with suppress(BrokerUnavailable, Refused):
            async with in_our_words(self._lifeline, CLOSE_TIMEOUT):
                await self._channel.close()
        self._lifeline.cut()

    async def check_listening(self) -> None:
        """Raises BrokerUnavailable where the broker takes no messages for now."""
        async with in_our_words(self._lifeline):
            try:
                async with asyncio.timeout(0):
                    await self._channel.connection.ready()
            except TimeoutError:
                raise BrokerUnavailable(
                    "RabbitMQ is short of memory or disk and takes no messages"
                ) from None

    async def declare_exchange(self, exchange: str) -> None:
        """A durable direct exchange is there."""
        async with in_our_words(self._lifeline):
            await self._channel.exchange_declare(exchange, exchange_type="direct", durable=True)

    async def declare_queue(self, queue: str, arguments: Mapping[str, Any]) -> None:
        """A durable queue is there."""
        async with in_our_words(self._lifeline):
            await self._channel.queue_declare(queue, durable=True, arguments=dict(arguments))

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """The queue gets what goes to the exchange under this key."""
        async with in_our_words(self._lifeline):
            await self._channel.queue_bind(queue, exchange, routing_key)

    async def count(self, queue: str) -> tuple[int, int]:
        """Messages that are ready, and consumers."""
        async with in_our_words(self._lifeline):
            found = await self._channel.queue_declare(queue, passive=True)
        return found.message_count or 0, found.consumer_count or 0

    async def publish(
        self, exchange: str, routing_key: str, properties: Mapping[str, Any], body: bytes
    ) -> bool:
        """Whether a queue has the message: confirmed, or returned. Raises Unwritable before it is sent."""
        try:
            async with in_our_words(self._lifeline, CONFIRM_TIMEOUT):
                answer = await self._channel.basic_publish(
                    body,
                    exchange=exchange,
                    routing_key=routing_key,
                    properties=self._writable(properties),
                    mandatory=True,
                    wait=False,
                )
        except (ValueError, TypeError, OverflowError, struct.error) as error:
            raise Unwritable(str(error)) from error
        return isinstance(answer, Basic.Ack)

    def _writable(self, properties: Mapping[str, Any]) -> Basic.Properties:
        headers: Mapping[str, object] = properties["headers"]
        size = sum(
            len(name.encode()) + len(str(value).encode()) + BYTES_AROUND_A_HEADER
            for name, value in headers.items()
        )
        # They travel in one frame, and the broker ends a connection that sends a larger one.
        largest = self._channel.connection.connection_tune.frame_max - BYTES_OF_OTHER_PROPERTIES
        if size > largest:
            raise ValueError(f"its headers have {size} bytes, {largest} are possible")
        return Basic.Properties(**properties)

    async def limit(self, prefetch: int) -> None:
        """Each consumer from now on has at most so many unacknowledged."""
        async with in_our_words(self._lifeline):
            await self._channel.basic_qos(prefetch_count=prefetch, global_=False)

    async def hear(self, patience: timedelta) -> None:
        """The broker has answered a question that changes nothing where nobody consumes; BrokerUnavailable if not."""
        async with in_our_words(self._lifeline, patience):
            await self._channel.basic_qos(prefetch_count=0, global_=False)

    async def consume(
        self, queue: str, consumer_tag: str, deliver: Callable[[Arrival], None]
    ) -> None:
        """Deliver what comes, in order."""

        async def on_message(message: DeliveredMessage) -> None:
            deliver(_arrival_of(message, queue))

        async with in_our_words(self._lifeline):
            await self._channel.basic_consume(queue, on_message, consumer_tag=consumer_tag)

    def when_cancelled(self, tell: Callable[[str], None]) -> None:
        """Tell the tag of each consumer that the broker ends, for the queue is gone or else."""
        self._channel.on_consumer_cancel_callbacks.add(lambda frame: tell(str(frame.consumer_tag)))

    async def cancel(self, consumer_tag: str) -> None:
        """Nothing is delivered under this tag after this."""
        async with in_our_words(self._lifeline):
            await self._channel.basic_cancel(consumer_tag)

    async def ack(self, tag: int, *, multiple: bool = False) -> None:
        """The delivery is done, or all up to it."""
        async with in_our_words(self._lifeline):
            await self._channel.basic_ack(tag, multiple=multiple, wait=False)

    async def give_back(self, tag: int) -> None:
        """The delivery goes back to its queue."""
        async with in_our_words(self._lifeline):
            await self._channel.basic_nack(tag, requeue=True, wait=False)


def _arrival_of(message: DeliveredMessage, queue: str) -> Arrival:
    properties = message.header.properties
    return Arrival(
        Received(
            queue=queue,
            routing_key=message.routing_key or "",
            message_id=properties.message_id,
            type=properties.message_type,
            priority=properties.priority,
            timestamp=properties.timestamp,
            headers=properties.headers,
            body=message.body,
        ),
        tag=message.delivery_tag or 0,
        redelivered=bool(message.redelivered),
    )
