"""Where a consumer's deliveries come in from RabbitMQ."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from itertools import count

import structlog
from uuid_utils.compat import uuid7

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Envelope
from mqjobs.transport.arrivals import Arrivals
from mqjobs.transport.rabbitmq.acknowledgements import Acknowledgements
from mqjobs.transport.rabbitmq.channel import Arrival, Channel
from mqjobs.transport.rabbitmq.connection import Connection
from mqjobs.transport.rabbitmq.driver import NotThere, Refused
from mqjobs.transport.rabbitmq.envelope import envelope_of
from mqjobs.transport.seam import Delivery

log = structlog.get_logger(__name__)

PAUSE_BETWEEN_SETTLEMENTS = timedelta(milliseconds=5)
PAUSE_AFTER_A_LOSS = timedelta(milliseconds=500)
PAUSE_AFTER_A_REFUSAL = timedelta(seconds=5)
TIME_TO_END = timedelta(seconds=5)


class _Session:
    """One channel while it lasts: its consumers, and what is settled of its deliveries."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self.acknowledgements = Acknowledgements()
        self.out = 0
        self.consumers: dict[str, str] = {}
        self.set_aside: list[int] = []
        self.has_work = asyncio.Event()
        self.is_urgent = asyncio.Event()
        self.settling = asyncio.Lock()
        channel.when_cancelled(self.end_consumer)
        channel.when_closed(self.wake)

    def wake(self) -> None:
        self.has_work.set()
        self.is_urgent.set()

    def end_consumer(self, consumer_tag: str) -> None:
        if self.consumers.pop(consumer_tag, None):
            self.has_work.set()


@dataclass(frozen=True, slots=True)
class _Waiting:
    session: _Session
    tag: int
    envelope: Envelope
    redelivered: bool


class AmqpInbox:
    """Hands out deliveries of the channel that it has now, and gets itself another when it is lost.

    `run` does the work and must be running. The broker keeps each consumer, that is each queue, to `prefetch`
    unacknowledged deliveries; the inbox hands out as many over all of them and keeps the rest to itself.
    What is settled is sent at once, then every few milliseconds while more comes.
    """

    def __init__(
        self,
        connection: Connection,
        queues: Sequence[str],
        *,
        prefetch: int,
        levels: Sequence[int],
        declare: Callable[[Channel, str], Awaitable[None]],
    ) -> None:
        self._connection = connection
        self._queues = queues
        self._prefetch = prefetch
        self._levels = levels
        self._declare = declare

        self._arrivals = Arrivals[_Waiting]()
        self._session: _Session | None = None
        self._subscribing = asyncio.Lock()
        self._has_room = asyncio.Event()
        self._is_closing = False
        self._paused: Set[str] = frozenset()
        self._tag_numbers = count(1)

    @property
    def is_consuming(self) -> bool:
        """Whether the broker sends from every queue that is not paused."""
        session = self._session
        wanted = set(self._queues) - self._paused
        return session is not None and wanted <= set(session.consumers.values())

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Each delivery, the most urgent of those that are here first; ends when the inbox is closed."""
        while True:
            await self._wait_for_room()
            waiting = await self._arrivals.take()
            if waiting is None:
                return
            waiting.session.out += 1
            yield Delivery(
                waiting.envelope, waiting.redelivered, tag=(waiting.session, waiting.tag)
            )

    async def _wait_for_room(self) -> None:
        while (session := self._session) and session.out >= self._prefetch:
            if self._arrivals.is_closed:
                return
            self._has_room.clear()
            await self._has_room.wait()

    def ack(self, delivery: Delivery) -> None:
        """The broker will be told; forgotten where the delivery's channel is gone."""
        self._settle(delivery, Acknowledgements.ack)

    def give_back(self, delivery: Delivery) -> None:
        """The broker will be told; forgotten where the delivery's channel is gone."""
        self._settle(delivery, Acknowledgements.give_back)

    def _settle(self, delivery: Delivery, settle: Callable[[Acknowledgements, int], bool]) -> None:
        session: _Session
        session, tag = delivery.tag
        if session is not self._session:
            log.debug("acknowledgement_forgotten", message_id=str(delivery.envelope.id))
            return
        if not settle(session.acknowledgements, tag):
            log.debug("settled_before", message_id=str(delivery.envelope.id))
            return
        session.out -= 1
        self._has_room.set()
        session.has_work.set()
        if session.acknowledgements.unsent * 2 >= self._prefetch:
            session.is_urgent.set()

    def pause(self, queues: Set[str]) -> None:
        """Nothing is handed out from these at once, and given back when the broker sends no more of it."""
        self._paused = frozenset(queues)
        if session := self._session:
            of_paused = self._arrivals.remove(lambda each: each.envelope.queue in self._paused)
            session.set_aside.extend(waiting.tag for waiting in of_paused)
            session.has_work.set()

    async def run(self) -> None:
        """Consume, from channel to channel, until closed and the last one is lost, or cancelled."""
        while not self._is_closing:
            await self._connection.is_there()
            pause = PAUSE_AFTER_A_LOSS
            try:
                async with self._connection.channel() as channel:
                    await self._consume_on(channel)
            except (BrokerUnavailable, NotThere) as error:
                log.debug("channel_lost", queues=list(self._queues), error=str(error))
            except Refused as error:
                log.error("consuming_refused", queues=list(self._queues), error=str(error))
                pause = PAUSE_AFTER_A_REFUSAL
            await asyncio.sleep(pause.total_seconds())

    async def _consume_on(self, channel: Channel) -> None:
        session = self._session = _Session(channel)
        try:
            await channel.limit(self._prefetch)
            await self._serve(session)
        finally:
            self._session = None
            self._arrivals.clear()
            self._has_room.set()

    async def _follow(self, session: _Session) -> None:
        """The broker sends from every queue but those that are paused."""
        async with self._subscribing:
            for consumer_tag, queue in list(session.consumers.items()):
                if queue in self._paused and not self._is_closing:
                    await session.channel.cancel(consumer_tag)
                    session.consumers.pop(consumer_tag, None)
        for queue in self._queues:
            if queue not in self._paused and queue not in session.consumers.values():
                await self._subscribe(session, queue)
        # Not before: what goes back while the broker sends comes again at once.
        for tag in session.set_aside:
            session.acknowledgements.give_back(tag)
        session.set_aside.clear()

    async def _subscribe(self, session: _Session, queue: str) -> None:
        async with self._subscribing:
            if self._is_closing:
                return
            async with self._connection.channel() as channel:
                await self._declare(channel, queue)
            consumer_tag = f"mqjobs.{next(self._tag_numbers)}"
            session.consumers[consumer_tag] = queue
            await session.channel.consume(
                queue, consumer_tag, lambda arrival: self._put(session, arrival)
            )

    def _put(self, session: _Session, arrival: Arrival) -> None:
        if session is not self._session:
            return
        envelope = envelope_of(
            arrival.received, self._levels, fresh_id=uuid7(), now=datetime.now(UTC)
        )
        if envelope.queue in self._paused:
            session.set_aside.append(arrival.tag)
            session.has_work.set()
            return
        self._arrivals.put(
            envelope.priority, _Waiting(session, arrival.tag, envelope, arrival.redelivered)
        )

    async def _serve(self, session: _Session) -> None:
        session.has_work.set()
        while not session.channel.is_closed:
            await session.has_work.wait()
            session.has_work.clear()
            await self._follow(session)
            is_urgent = session.is_urgent.is_set()
            session.is_urgent.clear()
            await self._send_settled(session, everything=is_urgent)
            with suppress(TimeoutError):
                async with asyncio.timeout(PAUSE_BETWEEN_SETTLEMENTS.total_seconds()):
                    await session.is_urgent.wait()

    async def _send_settled(self, session: _Session, *, everything: bool) -> None:
        async with session.settling:
            settlement = session.acknowledgements.next_settlement(everything=everything)
            if session.acknowledgements.unsent:
                session.has_work.set()
            for tag in settlement.given_back:
                await session.channel.give_back(tag)
            if settlement.up_to is not None:
                await session.channel.ack(settlement.up_to, multiple=True)
            for tag in settlement.single:
                await session.channel.ack(tag)

    async def close(self) -> None:
        """Take no more, and give back what nobody iterated over; what is out can still be settled."""
        self._is_closing = True
        try:
            with suppress(BrokerUnavailable, TimeoutError):
                async with asyncio.timeout(TIME_TO_END.total_seconds()), self._subscribing:
                    await self._end_consumers()
        finally:
            self._arrivals.clear()
            self._arrivals.close()
            self._has_room.set()

    async def _end_consumers(self) -> None:
        if session := self._session:
            for consumer_tag in list(session.consumers):
                await session.channel.cancel(consumer_tag)
            unseen = [waiting.tag for waiting in self._arrivals.clear()]
            for tag in [*unseen, *session.set_aside]:
                session.acknowledgements.give_back(tag)
            await self._send_settled(session, everything=True)

    async def leave(self) -> None:
        """Send what is settled; what is not goes back to its queue with the channel."""
        if session := self._session:
            with suppress(BrokerUnavailable, TimeoutError):
                async with asyncio.timeout(TIME_TO_END.total_seconds()):
                    await self._send_settled(session, everything=True)
