"""The relay: carries what is due in the outbox to the broker."""

import asyncio
from collections.abc import Sequence
from contextlib import suppress
from datetime import timedelta
from typing import TypeAlias

import structlog

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Envelope
from mqjobs.model.tally import Count
from mqjobs.processing.services import Services
from mqjobs.runtime.burial import fail_unrun_child
from mqjobs.runtime.every import every
from mqjobs.store import outbox
from mqjobs.store.database import Connection
from mqjobs.store.job_store import transaction
from mqjobs.store.outages import patiently
from mqjobs.transport.background import first_failure
from mqjobs.transport.seam import Publication, Transport

log = structlog.get_logger(__name__)

BATCH = 500
SLOW = timedelta(seconds=2)
IN_HAND_FOR = timedelta(seconds=15)

Rows: TypeAlias = Sequence[tuple[int, Envelope]]
Publishing: TypeAlias = "asyncio.Task[Sequence[Publication]]"


class Relay:
    """Publishes due messages, many at a time, and deletes those that were confirmed.

    It dies, it publishes twice: the claim decides. Any number of relays share the work.
    """

    def __init__(self, services: Services, transport: Transport, wake: asyncio.Event) -> None:
        self._services = services
        self._transport = transport
        self._wake = wake

    async def begin(self) -> None:
        """The outbox is there. Raises Forbidden where our role may not carry."""
        await patiently("the outbox", self._look)

    async def _look(self) -> None:
        async with transaction(self._services.store.pool) as connection:
            await outbox.due(connection, 0, only_unrouted=False)

    async def run(self, stop: asyncio.Event, interval: timedelta) -> None:
        """Carry what is due, after each interval and whenever woken, until stopped."""
        async for _ in every(interval, stop, self._wake):
            while not stop.is_set() and await self._carry_patiently() == BATCH:
                pass

    async def carry(self) -> int:
        """One batch of what is due; how many. Raises BrokerUnavailable; then all stay due."""
        try:
            async with asyncio.TaskGroup() as group:
                return await self._carry(group)
        except BaseExceptionGroup as failures:
            raise first_failure(failures) from None

    async def _carry(self, group: asyncio.TaskGroup) -> int:
        """A broker that is quick costs one transaction. No transaction waits for one that is not."""
        async with transaction(self._services.store.pool) as connection:
            rows = await outbox.due(
                connection, BATCH, only_unrouted=not self._transport.needs_relay
            )
            if not rows:
                return 0
            envelopes = [envelope for _, envelope in rows]
            publishing = group.create_task(self._transport.publish(envelopes))
            await asyncio.wait([publishing], timeout=SLOW.total_seconds())
            if publishing.done():
                await self._settle(connection, rows, publishing.result())
                return len(rows)
            await outbox.keep_in_hand(connection, _ids(rows), IN_HAND_FOR)
        await self._see_through(publishing, rows)
        return len(rows)

    async def _see_through(self, publishing: Publishing, rows: Rows) -> None:
        """The rows are this relay's until the broker has answered, or the relay is gone for IN_HAND_FOR."""
        pool = self._services.store.pool
        try:
            while not publishing.done():
                await asyncio.wait([publishing], timeout=(IN_HAND_FOR / 3).total_seconds())
                if not publishing.done():
                    async with transaction(pool) as connection:
                        await outbox.keep_in_hand(connection, _ids(rows), IN_HAND_FOR)
            async with transaction(pool) as connection:
                await self._settle(connection, rows, publishing.result())
        except BaseException:
            await self._let_go(rows)
            raise

    async def _let_go(self, rows: Rows) -> None:
        with suppress(Exception):  # then they are due again a little later
            async with asyncio.timeout(SLOW.total_seconds()):
                async with transaction(self._services.store.pool) as connection:
                    await outbox.let_go(connection, _ids(rows))

    async def _settle(
        self, connection: Connection, rows: Rows, published: Sequence[Publication]
    ) -> None:
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
        self._services.tally.add(Count.PUBLISHED, len(gone))
        self._services.tally.add(Count.RETURNED, len(lost))

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
            await self._services.store.cancel_unread(str(envelope.id))


def _ids(rows: Rows) -> list[int]:
    return [row_id for row_id, _ in rows]
