"""The relay: carries what is due in the outbox to the broker."""

import asyncio
from datetime import timedelta

import structlog

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Envelope
from mqjobs.processing.services import Services
from mqjobs.runtime.burial import fail_unrun_child
from mqjobs.runtime.every import every
from mqjobs.store import outbox
from mqjobs.store.job_store import transaction
from mqjobs.store.outages import patiently
from mqjobs.transport.seam import Publication, Transport

log = structlog.get_logger(__name__)

BATCH = 500


class Relay:
    """Publishes due messages, many at a time, and deletes those that were confirmed.

    It dies, it publishes twice: the claim decides. Any number of relays share the work.
    """

    def __init__(self, services: Services, transport: Transport, wake: asyncio.Event) -> None:
        self._services = services
        self._transport = transport
        self._wake = wake

    async def run(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Carry what is due, after each interval and whenever woken, until stopped."""
        async for _ in every(interval, stop, self._wake):
            while not stop.is_set() and await self._carry_patiently() == BATCH:
                pass

    async def carry(self) -> int:
        """One batch of what is due; how many. Raises BrokerUnavailable; then all stay due."""
        store = self._services.store
        async with transaction(store.pool) as connection:
            rows = await outbox.due(
                connection, BATCH, only_unrouted=not self._transport.needs_relay
            )
            if not rows:
                return 0
            published = await self._transport.publish([envelope for _, envelope in rows])
            gone, lost = [], []
            for (row_id, envelope), publication in zip(rows, published, strict=True):
                if publication is Publication.CONFIRMED:
                    gone.append(row_id)
                else:
                    lost.append((row_id, envelope))
            await outbox.delete(connection, gone)
            await self._end_jobs_of([envelope for _, envelope in lost])
            await outbox.make_dead(
                connection,
                [row_id for row_id, _ in lost],
                reason="unroutable",
                detail="no queue takes this topic: subscribe a processor, start its consumer, then replay",
            )
        return len(rows)

    async def _carry_patiently(self) -> int:
        return await patiently("the relay", self._carry_unless_broker_is_away)

    async def _carry_unless_broker_is_away(self) -> int:
        try:
            return await self.carry()
        except BrokerUnavailable:
            return 0

    async def _end_jobs_of(self, lost: list[Envelope]) -> None:
        """Before the messages are dead letters: a relay that dies in between leaves them to the next one."""
        for envelope in lost:
            log.warning(
                "dead_letter",
                topic=envelope.topic,
                message_id=str(envelope.id),
                queue=envelope.queue,
                reason="unroutable",
            )
            await fail_unrun_child(self._services, envelope, "its message is unroutable")
            await self._services.store.cancel_if_new(str(envelope.id))
