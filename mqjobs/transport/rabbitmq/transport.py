"""Messages over AMQP: a direct exchange, durable queues, one binding per topic and queue."""

from collections import defaultdict
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import asynccontextmanager, suppress
from typing import Any, Literal, TypeAlias
from uuid import UUID

import structlog

from mqjobs.model.errors import ConfigurationError
from mqjobs.model.message import Binding, Envelope
from mqjobs.model.tally import Tally
from mqjobs.transport.background import in_background
from mqjobs.transport.rabbitmq.channel import Channel
from mqjobs.transport.rabbitmq.connection import Connection
from mqjobs.transport.rabbitmq.driver import NotThere, PreconditionFailed, Refused
from mqjobs.transport.rabbitmq.envelope import CLASSIC_LEVELS, QUORUM_LEVELS
from mqjobs.transport.rabbitmq.inbox import AmqpInbox
from mqjobs.transport.rabbitmq.publisher import AmqpPublisher, Answer
from mqjobs.transport.seam import Publication, QueueState

log = structlog.get_logger(__name__)

QueueType: TypeAlias = Literal["auto", "classic", "quorum"]
FIRST_QUORUM_QUEUES_WITH_PRIORITIES = (4, 0)
FIRST_WITH_A_DELIVERY_LIMIT = (4, 0)


def choose_queue_type(setting: QueueType, version: tuple[int, ...]) -> QueueType:
    """Quorum queues where they know priorities, classic ones before that."""
    if setting != "auto":
        return setting
    return "quorum" if version >= FIRST_QUORUM_QUEUES_WITH_PRIORITIES else "classic"


class AmqpTransport:
    """Carries messages through RabbitMQ. What was declared is declared again whenever an inbox needs it."""

    def __init__(
        self,
        connection: Connection,
        connection_for_inbox: Callable[[], Connection],
        *,
        exchange: str,
        queue_type: QueueType,
        version: tuple[int, ...],
    ) -> None:
        self._connection = connection
        self._connection_for_inbox = connection_for_inbox
        self._exchange = exchange
        self._version = version
        self._queue_type = choose_queue_type(queue_type, version)
        self._levels = QUORUM_LEVELS if self._queue_type == "quorum" else CLASSIC_LEVELS
        self._topics: defaultdict[str, set[str]] = defaultdict(set)
        self._inboxes: set[AmqpInbox] = set()
        self._tally = Tally()
        self._publisher = AmqpPublisher(connection, exchange, self._levels)
        log.info(
            "queue_type_chosen",
            queue_type=self._queue_type,
            setting=queue_type,
            broker_version=".".join(map(str, version)),
        )

    @property
    def needs_relay(self) -> bool:
        """Yes: what is in the outbox has to be published."""
        return True

    def count_in(self, tally: Tally) -> None:
        """The connections that it loses are counted here."""
        self._tally = tally
        self._connection.count_in(tally)

    @property
    def is_connected(self) -> bool:
        """Both ways: for what is published, and for what every open inbox takes."""
        return self._connection.is_connected and all(each.is_consuming for each in self._inboxes)

    def wake(self) -> None:
        """Nothing to do: the broker delivers what it gets."""

    async def declare(self, bindings: Sequence[Binding]) -> None:
        """The queues are there and take these topics; what was declared before stays.

        Raises ConfigurationError where a queue or the exchange is there with other arguments.
        """
        for binding in bindings:
            self._topics[binding.queue].add(binding.topic)
        try:
            async with self._connection.channel() as channel:
                for queue in sorted({binding.queue for binding in bindings}):
                    await self._declare_queue(channel, queue)
        except Refused as error:
            raise ConfigurationError(str(error)) from error

    async def _declare_queue(self, channel: Channel, queue: str) -> None:
        await channel.declare_exchange(self._exchange)
        try:
            await channel.declare_queue(queue, self._queue_arguments())
        except PreconditionFailed as error:
            raise PreconditionFailed(
                f"the queue {queue!r} is there already, but not as our {self._queue_type} queue "
                f"({error}): set MQJOBS_QUEUE_TYPE to what it is, or delete it once it is empty"
            ) from error
        for topic in sorted(self._topics[queue]):
            await channel.bind(queue, self._exchange, topic)

    def _queue_arguments(self) -> dict[str, Any]:
        if self._queue_type == "quorum":
            arguments: dict[str, Any] = {"x-queue-type": "quorum"}
            if self._version >= FIRST_WITH_A_DELIVERY_LIMIT:
                arguments["x-delivery-limit"] = -1  # else the broker drops what came 20 times
            return arguments
        return {"x-max-priority": max(CLASSIC_LEVELS)}

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Publication]:
        """Hand messages over; BrokerUnavailable where the broker is away or goes before all is confirmed.

        A queue that was declared here and is gone is declared again before its messages are unroutable. A message that
        AMQP cannot carry or the broker refuses is unroutable: no queue will ever have it.
        """
        answers = dict(enumerate(await self._publisher.publish(envelopes)))
        returned = [
            number
            for number, answer in answers.items()
            if answer is Answer.RETURNED and self._queues_of(envelopes[number])
        ]
        queues = {queue for number in returned for queue in self._queues_of(envelopes[number])}
        if queues and await self._declare_again(queues):
            again = await self._publisher.publish([envelopes[number] for number in returned])
            answers.update(zip(returned, again, strict=True))
        return [
            Publication.CONFIRMED if answer is Answer.CONFIRMED else Publication.UNROUTABLE
            for answer in answers.values()
        ]

    def _queues_of(self, envelope: Envelope) -> Set[str]:
        """The queues to which it goes, of those that were declared here."""
        if envelope.queue is not None:
            return {envelope.queue} & self._topics.keys()
        return {queue for queue, topics in self._topics.items() if envelope.topic in topics}

    async def _declare_again(self, queues: Set[str]) -> bool:
        log.warning("queues_gone", queues=sorted(queues))
        try:
            async with self._connection.channel() as channel:
                for queue in sorted(queues):
                    await self._declare_queue(channel, queue)
        except Refused as error:
            log.error("queues_refused", error=str(error))
            return False
        return True

    @asynccontextmanager
    async def inbox(
        self,
        queues: Sequence[str],
        *,
        prefetch: int,
        consumer_id: UUID,
        paused: Set[str] = frozenset(),
    ) -> AsyncIterator[AmqpInbox]:
        """Take deliveries from these queues, over a connection of its own."""
        log.debug("inbox_opened", queues=list(queues), consumer_id=str(consumer_id))
        connection = self._connection_for_inbox()
        connection.count_in(self._tally)
        inbox = AmqpInbox(
            connection,
            queues,
            prefetch=prefetch,
            levels=self._levels,
            declare=self._declare_queue,
        )
        inbox.pause(paused)
        self._inboxes.add(inbox)
        try:
            async with connection.kept(), in_background(inbox.run()):
                try:
                    yield inbox
                finally:
                    await inbox.close()
                    await inbox.leave()
        finally:
            self._inboxes.discard(inbox)

    async def queue_states(self, queues: Sequence[str]) -> Sequence[QueueState]:
        """How full these queues are; the broker does not tell how much is unacknowledged."""
        states = []
        for queue in queues:
            # A channel each: asking for a queue that is not there closes it.
            with suppress(NotThere):
                async with self._connection.channel() as channel:
                    ready, consumers = await channel.count(queue)
                states.append(QueueState(queue, ready, None, consumers))
        return states
