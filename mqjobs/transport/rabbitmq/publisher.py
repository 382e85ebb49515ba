"""Hands messages to RabbitMQ, many at a time, and learns what became of each."""

import asyncio
from collections.abc import Sequence
from enum import Enum, auto
from uuid import UUID

import structlog

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Envelope
from mqjobs.transport.rabbitmq.channel import Channel
from mqjobs.transport.rabbitmq.connection import Connection
from mqjobs.transport.rabbitmq.driver import PreconditionFailed, Refused, Unwritable
from mqjobs.transport.rabbitmq.envelope import properties_of

log = structlog.get_logger(__name__)

MOST_IN_FLIGHT = 1000


class Answer(Enum):
    """What became of one message: a queue has it, none takes it now, or none will ever have it."""

    CONFIRMED = auto()
    RETURNED = auto()
    REFUSED = auto()


class AmqpPublisher:
    """Publishes on one channel with confirms and mandatory; gets itself another when that is gone."""

    def __init__(self, connection: Connection, exchange: str, levels: Sequence[int]) -> None:
        self._connection = connection
        self._exchange = exchange
        self._levels = levels
        self._channel: Channel | None = None
        self._opening = asyncio.Lock()
        self._window = asyncio.Semaphore(MOST_IN_FLIGHT)
        self._in_flight: dict[UUID, asyncio.Event] = {}

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Answer]:
        """What became of each, in the order given; BrokerUnavailable where that is not known of all."""
        try:
            return await self._publish_together(envelopes)
        except PreconditionFailed:
            # The broker closed the channel over one of them, and does not say over which.
            return [await self._publish_apart(one) for one in envelopes]

    async def _publish_together(self, envelopes: Sequence[Envelope]) -> Sequence[Answer]:
        channel = await self._open_channel()
        await channel.check_listening()
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._publish(channel, one)) for one in envelopes]
        except ExceptionGroup as failures:
            if channel is self._channel:
                self._channel = None
            await channel.close()  # a confirm that is late may never come
            [first, *_] = (failures.subgroup(PreconditionFailed) or failures).exceptions
            raise first from first.__cause__
        return [task.result() for task in tasks]

    async def _publish_apart(self, envelope: Envelope) -> Answer:
        """On a channel of its own: where that is closed, it is over this message."""
        channel = await self._connection.open_channel(confirms=True)
        try:
            return await self._send(channel, envelope)
        except PreconditionFailed as error:
            log.error("message_refused", message_id=str(envelope.id), error=str(error))
            return Answer.REFUSED
        finally:
            await channel.close()

    async def _open_channel(self) -> Channel:
        async with self._opening:
            if self._channel is None or self._channel.is_closed:
                channel = await self._connection.open_channel(confirms=True)
                await channel.declare_exchange(self._exchange)
                self._channel = channel
            return self._channel

    async def _publish(self, channel: Channel, envelope: Envelope) -> Answer:
        async with self._window:
            # Messages that are returned are told apart by their ids: one of a kind at a time.
            while turn := self._in_flight.get(envelope.id):
                await turn.wait()
            turn = self._in_flight[envelope.id] = asyncio.Event()
            try:
                return await self._send(channel, envelope)
            finally:
                del self._in_flight[envelope.id]
                turn.set()

    async def _send(self, channel: Channel, envelope: Envelope) -> Answer:
        exchange, routing_key = self._exchange, envelope.topic
        if envelope.queue is not None:
            exchange, routing_key = "", envelope.queue
        try:
            is_confirmed = await channel.publish(
                exchange, routing_key, properties_of(envelope, self._levels), envelope.body
            )
        except Unwritable as error:
            log.error("message_unwritable", message_id=str(envelope.id), error=str(error))
            return Answer.REFUSED
        except PreconditionFailed:
            raise
        except Refused as error:
            raise BrokerUnavailable(f"RabbitMQ closed the channel: {error}") from error
        return Answer.CONFIRMED if is_confirmed else Answer.RETURNED
