"""The producer: how messages are sent."""

from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from typing import Any

from mqjobs.model.errors import BrokerUnavailable, InvalidMessage, Unroutable
from mqjobs.model.job import checked_name
from mqjobs.model.message import Envelope, Outgoing, Sent
from mqjobs.model.priority import Priority
from mqjobs.model.topic import Topic
from mqjobs.processing.envelopes import body_of
from mqjobs.processing.services import Services
from mqjobs.processing.topic_names import TopicNames
from mqjobs.store.certainty import once_for_all
from mqjobs.store.database import Connection
from mqjobs.store.messages import DeadLetter, insert_messages
from mqjobs.store.queues import bound_topics
from mqjobs.store.roots import NameTaken, NewRoot, create_root, lock_roots_in_the_way
from mqjobs.transport.seam import Publication, Transport


class Buffer:
    """Messages that go out together at the end of a `producer.buffer()` block; `sent` is then what became of them."""

    def __init__(self) -> None:
        self.messages: list[Topic | Outgoing] = []
        self.sent: Sequence[Sent] = ()

    def add(self, message: Topic | Outgoing) -> None:
        """One more."""
        self.messages.append(message)


class Producer:
    """Sends messages. What `send` returned from is acted on or kept as a dead letter, whatever is killed then."""

    def __init__(self, services: Services, transport: Transport, names: TopicNames) -> None:
        self._services = services
        self._transport = transport
        self._names = names
        self._bound: set[str] = set()

    async def send(
        self,
        body: Topic,
        *,
        priority: Priority | None = None,
        delay: timedelta | float = 0,
        expires_in: timedelta | float | None = None,
        headers: Mapping[str, str] | None = None,
        connection: Connection | None = None,
    ) -> Sent:
        """The message is on its way; for a job-aware topic with its root job, or blocked by the job that has the name.

        With `connection`, an asyncpg connection in a transaction: on its way if and only if that commits. Until then
        the name of its job is taken for all others, who wait, and so is a stale job whose name it takes over: commit
        soon. No other job waits.
        Raises InvalidMessage, InvalidJobName, Unroutable, DatabaseUnavailable; then nothing was sent.
        """
        outgoing = Outgoing(body, priority, delay, expires_in, headers or {})
        [sent] = await self.send_many([outgoing], connection=connection)
        return sent

    async def send_raw(self, topic: str, fields: Mapping[str, Any] | str, **options: Any) -> Sent:
        """Send by name: the fields (or their JSON) are checked against the topic's class; options as for `send`.

        Raises UnknownTopic besides what `send` raises.
        """
        return await self.send(body_of(self._names[topic], fields), **options)

    async def send_many(
        self, messages: Iterable[Topic | Outgoing], *, connection: Connection | None = None
    ) -> Sequence[Sent]:
        """All of them, or none where one is invalid; what became of each, in their order. See `send`."""
        sealed = [self._seal(message) for message in messages]
        await self._require_queues({envelope.topic for envelope, _ in sealed}, connection)
        if connection is not None:
            if not connection.is_in_transaction():
                raise InvalidMessage(
                    "the connection handed to send is in no transaction: open one, async with connection.transaction()"
                )
            return await self._write(connection, sealed)
        if any(name is not None or envelope.delay for envelope, name in sealed):
            return await self._remember(sealed)
        return await self._publish([envelope for envelope, _ in sealed])

    @asynccontextmanager
    async def buffer(self, *, connection: Connection | None = None) -> AsyncIterator[Buffer]:
        """What is added within the block is sent at its end, all together; nothing if the block raises."""
        buffer = Buffer()
        yield buffer
        buffer.sent = await self.send_many(buffer.messages, connection=connection)

    def _seal(self, message: Topic | Outgoing) -> tuple[Envelope, str | None]:
        envelope = self._services.envelopes.seal(message)
        body = message.body if isinstance(message, Outgoing) else message
        name = body.job_name()
        return envelope, None if name is None else checked_name(name)

    async def _publish(self, envelopes: Sequence[Envelope]) -> Sequence[Sent]:
        try:
            publications = await self._transport.publish(envelopes)
        except BrokerUnavailable:
            await self._services.store.send(envelopes)
        else:
            await self._keep_unroutable(envelopes, publications)
        return [Sent(envelope.id) for envelope in envelopes]

    async def _keep_unroutable(
        self, envelopes: Sequence[Envelope], publications: Sequence[Publication]
    ) -> None:
        """The broker has lost a queue that was declared: nothing that was accepted is."""
        for envelope, publication in zip(envelopes, publications, strict=True):
            if publication is Publication.UNROUTABLE:
                detail = (
                    f"the broker has no queue for {envelope.topic}: start its consumer, then replay"
                )
                await self._services.store.keep(
                    DeadLetter(envelope, "unroutable", detail, is_first=True),
                    consumer_id=self._services.runs.consumer_id,
                )

    async def _require_queues(self, topics: set[str], connection: Connection | None) -> None:
        unknown = topics - self._bound
        if not unknown:
            return
        if connection is None:
            bound = await self._services.store.bound_topics(unknown)
        else:
            bound = await bound_topics(connection, unknown)
        self._bound |= bound
        if unknown - bound:
            raise Unroutable(
                f"no queue takes {', '.join(sorted(unknown - bound))}: subscribe a processor to it and start its "
                "consumer once, which declares the queue; nothing was sent"
            )

    async def _remember(self, sealed: Sequence[tuple[Envelope, str | None]]) -> Sequence[Sent]:
        store = self._services.store
        sent = await once_for_all(
            store.pool, "messages", lambda each: self._write(each, sealed), patience=store.patience
        )
        store.wake()
        return sent

    async def _write(
        self, connection: Connection, sealed: Sequence[tuple[Envelope, str | None]]
    ) -> Sequence[Sent]:
        """Roots in the order of their names, so that two senders of the same names never wait for each other.

        Those that have to give their names up are locked before, in the order of their ids, as by everybody.
        """
        sent = {envelope.id: Sent(envelope.id) for envelope, _ in sealed}
        stale_after = self._services.stale_times.of
        wanted = [
            (envelope, NewRoot(str(envelope.id), name, envelope, stale_after(name)))
            for envelope, name in sealed
            if name is not None
        ]
        wanted.sort(key=lambda each: each[1].name)
        await lock_roots_in_the_way(connection, [new for _, new in wanted])
        for envelope, new in wanted:
            root = await create_root(connection, new)
            if isinstance(root, NameTaken):
                sent[envelope.id] = Sent(envelope.id, blocked_by=root.by)
            else:
                sent[envelope.id] = Sent(envelope.id, job_id=root.id)
        going = [envelope for envelope, _ in sealed if sent[envelope.id].blocked_by is None]
        await insert_messages(connection, going)
        return list(sent.values())
