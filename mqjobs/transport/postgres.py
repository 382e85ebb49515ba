"""The transport that needs no broker: the message table is the queues."""

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import asynccontextmanager
from datetime import timedelta
from uuid import UUID

from mqjobs.model.errors import DatabaseUnavailable
from mqjobs.model.message import Binding, Envelope
from mqjobs.model.tally import Tally
from mqjobs.store import queues as store
from mqjobs.store.database import Connection, Pool, is_outage
from mqjobs.store.group_commit import GroupCommit
from mqjobs.store.job_store import transaction
from mqjobs.store.messages import bind, insert_messages
from mqjobs.transport.background import in_background
from mqjobs.transport.postgres_inbox import PostgresInbox
from mqjobs.transport.seam import Publication, QueueState


@asynccontextmanager
async def open_postgres(
    pool: Pool,
    *,
    poll_interval: timedelta = timedelta(milliseconds=200),
    patience: timedelta | None = None,
) -> AsyncIterator["PostgresTransport"]:
    """The transport over this database; inboxes that are idle look every `poll_interval`.

    While the database is away publishers wait for `patience` (None: until it is back).
    """
    transport = PostgresTransport(pool, poll_interval, patience)
    async with in_background(transport.write()):
        yield transport


class PostgresTransport:
    """Carries messages through the message table. Publishers that meet share a transaction."""

    def __init__(
        self, pool: Pool, poll_interval: timedelta, patience: timedelta | None = None
    ) -> None:
        self._pool = pool
        self._poll_interval = poll_interval
        self._written = GroupCommit[Sequence[Envelope], Sequence[Publication]](
            "publish", self._write_batches, patience=patience
        )
        self._inboxes: set[PostgresInbox] = set()

    @property
    def needs_relay(self) -> bool:
        """The outbox is the queue."""
        return False

    def count_in(self, tally: Tally) -> None:
        """Its flushes are measured here."""
        self._written.tally = tally

    @property
    def is_connected(self) -> bool:
        """There is no connection but those to the database, which others look after."""
        return True

    async def write(self) -> None:
        """Write down what is published, until cancelled."""
        await self._written.run()

    async def declare(self, bindings: Sequence[Binding]) -> None:
        """The queues take these topics. Raises DatabaseUnavailable where the database is away."""
        async with self._connection() as connection:
            await bind(connection, bindings)

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Publication]:
        """Write the messages down. Raises DatabaseUnavailable where the database stays away for `patience`."""
        if not envelopes:
            return []
        publications = await self._written(envelopes)
        self.wake()
        return publications

    async def _write_batches(
        self, batches: Sequence[Sequence[Envelope]]
    ) -> Sequence[Sequence[Publication]]:
        topics = {one.topic for batch in batches for one in batch if one.queue is None}
        async with transaction(self._pool) as connection:
            bound = await store.bound_topics(connection, topics) if topics else set()
            is_routable = [
                [one.queue is not None or one.topic in bound for one in batch] for batch in batches
            ]
            await insert_messages(
                connection,
                [
                    one
                    for batch, routable in zip(batches, is_routable, strict=True)
                    for one, goes in zip(batch, routable, strict=True)
                    if goes
                ],
            )
        return [
            [Publication.CONFIRMED if goes else Publication.UNROUTABLE for goes in routable]
            for routable in is_routable
        ]

    @asynccontextmanager
    async def inbox(
        self,
        queues: Sequence[str],
        *,
        prefetch: int,
        consumer_id: UUID,
        paused: Set[str] = frozenset(),
    ) -> AsyncIterator["PostgresInbox"]:
        """Take messages from these queues; a consumer has one inbox at most for a queue."""
        inbox = PostgresInbox(
            self._pool,
            queues,
            prefetch=prefetch,
            consumer_id=consumer_id,
            poll_interval=self._poll_interval,
        )
        inbox.pause(paused)
        self._inboxes.add(inbox)
        try:
            async with in_background(inbox.take(), inbox.settle()):
                try:
                    yield inbox
                finally:
                    await inbox.close()
                    await inbox.leave()
        finally:
            self._inboxes.discard(inbox)

    def wake(self) -> None:
        """There are new messages in the table: inboxes of this process look at once."""
        for inbox in self._inboxes:
            inbox.wake()

    async def queue_states(self, queues: Sequence[str]) -> Sequence[QueueState]:
        """How full these queues are: what is due and free, and what consumers have."""
        async with self._connection() as connection:
            counts = await store.queue_counts(connection, queues)
        return [
            QueueState(one.queue, one.ready, one.unacknowledged, one.consumers) for one in counts
        ]

    @asynccontextmanager
    async def _connection(self) -> AsyncIterator[Connection]:
        try:
            async with self._pool.acquire() as connection:
                yield connection
        except Exception as error:
            if is_outage(error):
                raise DatabaseUnavailable(f"PostgreSQL does not answer: {error}") from error
            raise
