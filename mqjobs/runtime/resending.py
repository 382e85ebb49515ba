"""What is lost comes again: jobs that wait for a message that nobody has send it once more."""

import asyncio
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta

import structlog

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.tally import Count
from mqjobs.processing.services import Services
from mqjobs.runtime.every import every, first_of
from mqjobs.store import resending
from mqjobs.store.job_store import transaction
from mqjobs.store.messages import bindings, database_now
from mqjobs.store.outages import patiently
from mqjobs.store.reconciling import take_turn
from mqjobs.store.resending import LostChild
from mqjobs.transport.seam import Transport

log = structlog.get_logger(__name__)

PAGE = 1000
BATCH = 100
PAUSE = timedelta(milliseconds=50)
SILENCE = timedelta(seconds=30)
LONG_AGO = datetime(1970, 1, 1, tzinfo=UTC)

Empty = Mapping[str, Sequence[str]]
"""Topics, and the queues that each of their messages went to, all of which are empty."""


class Resending:
    """Looks for jobs that have waited for long in a quiet root, while no queue and no consumer has a message for them.

    Whether a consumer has one the broker does not tell. But who holds messages that he has not looked at has no slot
    free, and says so with each heartbeat: so a job is looked at twice, with a heartbeat of everybody in between.
    """

    def __init__(self, services: Services, transport: Transport, resend_after: timedelta) -> None:
        self._services = services
        self._pool = services.store.pool
        self._transport = transport
        self._resend_after = resend_after

    async def run(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Look after each interval, or as often as jobs may have waited long enough, until stopped."""
        often = min(interval, self._resend_after)
        async for _ in every(often, stop):
            await patiently("the reconciler", lambda: self._look_in_turn(stop, often))

    async def look(self, stop: asyncio.Event) -> int:
        """One look at all that waits; how many messages were sent again. Every one is a repair, and is told."""
        resent, after = 0, LostChild(0, 0)
        try:
            while (page := await self._suspects(after)) and not stop.is_set():
                resent += await self._resend(page, stop)
                after = page[-1]
        except BrokerUnavailable:  # nobody knows what it holds
            return resent
        return resent

    async def _look_in_turn(self, stop: asyncio.Event, interval: timedelta) -> None:
        async with self._pool.acquire() as connection:
            is_ours = await take_turn(connection, "resend", interval)
        if is_ours:
            await self.look(stop)

    async def _suspects(self, after: LostChild) -> list[LostChild]:
        async with self._pool.acquire() as connection:
            self._looked_at = await database_now(connection)
        empty = await self._empty(LONG_AGO)
        if not empty:
            return []
        async with self._pool.acquire() as connection:
            return await resending.lost_children(
                connection, empty, quiet_for=self._resend_after, after=after, limit=PAGE
            )

    async def _resend(self, suspects: Sequence[LostChild], stop: asyncio.Event) -> int:
        if self._transport.needs_relay:
            await self._hear_everybody(stop)
        empty, resent = await self._empty(self._looked_at), 0
        for start in range(0, len(suspects), BATCH):
            if stop.is_set() or not empty:
                break
            async with transaction(self._pool) as connection:
                by_root = await resending.resend(
                    connection,
                    suspects[start : start + BATCH],
                    empty,
                    quiet_for=self._resend_after,
                )
            resent += self._tell(by_root)
            await first_of(PAUSE, stop)
        return resent

    def _tell(self, by_root: Mapping[int, Sequence[int]]) -> int:
        for root_id, job_ids in by_root.items():
            log.warning("resent", root_id=root_id, jobs=list(job_ids))
        count = sum(len(job_ids) for job_ids in by_root.values())
        if count:
            self._services.tally.add(Count.REPAIRS, count, kind="resent")
            self._services.store.wake()
        return count

    async def _hear_everybody(self, stop: asyncio.Event) -> None:
        """Every live consumer has beaten since the first look; those that do not are left out of the second."""
        deadline = asyncio.get_running_loop().time() + SILENCE.total_seconds()
        while asyncio.get_running_loop().time() < deadline and not stop.is_set():
            async with self._pool.acquire() as connection:
                if not await resending.somebody_is_silent(connection, self._looked_at):
                    return
            await first_of(4 * PAUSE, stop)

    async def _empty(self, since: datetime) -> Empty:
        """Where the outbox is the queue, what is not in it is nowhere; a queue that is gone takes nothing."""
        queues = await self._queues_of_topics()
        if not self._transport.needs_relay:
            return queues
        names = sorted({queue for each in queues.values() for queue in each})
        states = {state.name: state for state in await self._transport.queue_states(names)}
        async with self._pool.acquire() as connection:
            unsure = await resending.unsure_queues(connection, since)
        there = {
            topic: [queue for queue in each if queue in states] for topic, each in queues.items()
        }
        return {
            topic: each
            for topic, each in there.items()
            if each and all(states[queue].ready == 0 and queue not in unsure for queue in each)
        }

    async def _queues_of_topics(self) -> dict[str, list[str]]:
        queues: dict[str, list[str]] = {}
        async with self._pool.acquire() as connection:
            for binding in await bindings(connection):
                queues.setdefault(binding.topic, []).append(binding.queue)
        return queues
