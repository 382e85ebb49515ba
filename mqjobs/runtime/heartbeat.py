"""The heartbeat: says that this consumer lives, and hears what it may not go on with."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.model.outcome import StopReason
from mqjobs.processing.services import Services
from mqjobs.runtime.every import every
from mqjobs.store import consumers
from mqjobs.store.consumers import ConsumerInfo
from mqjobs.store.outages import patiently

log = structlog.get_logger(__name__)


class Heartbeat:
    """Keeps this consumer's row alive, and stops runs whose leases are lost or that were interrupted."""

    def __init__(self, services: Services, consumer: ConsumerInfo, alive_for: timedelta) -> None:
        self._services = services
        self._pool = services.store.pool
        self._consumer = consumer
        self._alive_for = alive_for

    async def begin(self) -> None:
        """The consumer is known."""
        await patiently("the consumer's registration", self._register)

    async def end(self) -> None:
        """The consumer is gone."""
        async with self._pool.acquire() as connection:
            await consumers.deregister(connection, self._consumer.id)

    async def beat(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Beat after each interval until stopped; declared dead, stop what runs and begin anew."""
        async for _ in every(interval, stop):
            if not await patiently("the heartbeat", self._beat):
                await self._begin_anew()

    async def watch(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Look after the runs held here after each interval until stopped."""
        async for _ in every(interval, stop):
            if self._services.runs.leases():
                await patiently("the watch", self._watch)

    async def _register(self) -> None:
        async with self._pool.acquire() as connection:
            await consumers.register(connection, self._consumer, self._alive_for)

    async def _beat(self) -> bool:
        async with self._pool.acquire() as connection:
            now = await consumers.beat(
                connection,
                self._consumer.id,
                self._alive_for,
                is_full=self._services.runs.is_full,
            )
        if now is not None:
            self._services.envelopes.clock.set(now)
        return now is not None

    async def _begin_anew(self) -> None:
        log.warning("declared_dead", consumer_id=str(self._consumer.id))
        for job_id, lease in self._services.runs.leases().items():
            self._services.runs.stop(job_id, lease, StopReason.LEASE_LOST)
        await self.begin()

    async def _watch(self) -> None:
        async with self._pool.acquire() as connection:
            to_stop = await consumers.look_after(connection, self._services.runs.leases())
        for (job_id, lease), reason in to_stop.items():
            if self._services.runs.stop(job_id, lease, reason):
                log.info("run_stopped", job_id=job_id, lease=lease, reason=reason)
