"""The queues as operators have them in hand: looked at, paused, resumed, purged."""

import asyncio
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta

from uuid_utils.compat import uuid7

from mqjobs.model.message import Binding
from mqjobs.processing.asking import ask
from mqjobs.processing.services import Services
from mqjobs.store import messages, purges, queues
from mqjobs.store.purges import Purged, Thrown
from mqjobs.store.queues import Pause
from mqjobs.transport.seam import Delivery, Inbox, QueueState, Transport

AT_ONCE = 200
LONGEST_SILENCE = timedelta(seconds=3)


@dataclass(frozen=True, slots=True)
class QueueReport:
    """A queue with the topics that it takes; its state where the broker knows it; who paused it, if anybody did."""

    queue: str
    topics: Sequence[str]
    state: QueueState | None
    paused: Pause | None


class Queues:
    """Every queue that consumers of this database have declared, and those of the bindings that are given.

    Calls raise DatabaseUnavailable where PostgreSQL stays away, BrokerUnavailable where the broker does.
    """

    def __init__(
        self, services: Services, transport: Transport, declared: Sequence[Binding] = ()
    ) -> None:
        self._store = services.store
        self._transport = transport
        self._declared = declared

    async def list(self) -> Sequence[QueueReport]:
        """All of them, by their names."""
        topics = defaultdict[str, list[str]](list)
        known = {*await ask(self._store, messages.bindings), *self._declared}
        for binding in sorted(known, key=lambda each: (each.queue, each.topic)):
            topics[binding.queue].append(binding.topic)
        paused = {pause.queue: pause for pause in await ask(self._store, queues.pauses)}
        names = sorted(topics.keys() | paused.keys())
        states = {state.name: state for state in await self._transport.queue_states(names)}
        return [
            QueueReport(name, topics[name], states.get(name), paused.get(name)) for name in names
        ]

    async def pause(self, queue: str, *, by: str) -> bool:
        """Consumers take nothing from this queue any more, as soon as they hear of it; whether they did before."""
        return await ask(self._store, lambda each: queues.pause(each, queue, by=by))

    async def resume(self, queue: str) -> bool:
        """Consumers take from this queue again, as soon as they hear of it; whether it was paused."""
        return await ask(self._store, lambda each: queues.resume(each, queue))

    async def waiting(self, queue: str) -> int:
        """How many messages a purge of this queue would throw away now: those that wait, now or for later."""
        in_table = await ask(self._store, lambda each: purges.count_waiting(each, queue))
        return in_table + await self._in_broker(queue)

    async def purge(self, queue: str, *, by: str) -> Purged:
        """The messages that wait in this queue, now or for later, are gone, and the jobs that wait for them cancelled.

        What consumers have stays, and so do dead letters, and what is sent after the beginning. It goes by a few
        hundred at a time, each message with its job: what an error interrupts has been done so far.
        """
        why = f"its message was purged from queue {queue} by {by}"
        return await self._purge_table(queue, why) + await self._purge_broker(queue, why)

    async def _purge_table(self, queue: str, why: str) -> Purged:
        purged = Purged()
        up_to = await ask(self._store, purges.last_message)
        while True:
            batch = await ask(
                self._store,
                lambda each: purges.purge(each, queue, up_to=up_to, why=why, limit=AT_ONCE),
            )
            if not batch.messages:
                return purged
            purged += batch

    async def _purge_broker(self, queue: str, why: str) -> Purged:
        """A broker throws messages away without a look, and their jobs would wait for ever: so they are taken."""
        purged = Purged()
        left = await self._in_broker(queue)
        if not left:
            return purged
        opened = self._transport.inbox([queue], prefetch=AT_ONCE, consumer_id=uuid7())
        async with opened as inbox:
            while left > purged.messages:
                batch = await _next_of(inbox, min(AT_ONCE, left - purged.messages))
                if not batch:
                    break
                purged += await self._throw_away(batch, queue, why)
                for delivery in batch:
                    inbox.ack(delivery)
        return purged

    async def _throw_away(self, batch: Sequence[Delivery], queue: str, why: str) -> Purged:
        thrown = [Thrown(each.envelope.id, each.envelope.job_id) for each in batch]
        jobs = await ask(
            self._store, lambda each: purges.cancel_jobs_of(each, thrown, queue, why=why)
        )
        return Purged(len(batch), jobs)

    async def _in_broker(self, queue: str) -> int:
        if not self._transport.needs_relay:
            return 0
        return sum(state.ready for state in await self._transport.queue_states([queue]))


async def _next_of(inbox: Inbox, at_most: int) -> Sequence[Delivery]:
    """What comes before a silence; none where others have taken what was there."""
    batch: list[Delivery] = []
    deliveries = inbox.deliveries()
    while len(batch) < at_most:
        try:
            async with asyncio.timeout(LONGEST_SILENCE.total_seconds()):
                batch.append(await anext(deliveries))
        except TimeoutError:
            break
    return batch
