"""Where a consumer's messages come in from the message table."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence, Set
from contextlib import suppress
from datetime import timedelta
from typing import TypeVar
from uuid import UUID

import structlog

from mqjobs.store.database import Connection, Pool
from mqjobs.store.outages import patiently
from mqjobs.store.queues import (
    TakenMessage,
    delete_taken,
    free_all_taken_but,
    free_taken,
    take_messages,
)
from mqjobs.transport.arrivals import Arrivals
from mqjobs.transport.seam import Delivery

log = structlog.get_logger(__name__)

T = TypeVar("T")
TIME_TO_END = timedelta(seconds=5)


class PostgresInbox:
    """Takes rows from queues, hands them out, and deletes or frees what is settled.

    `take` and `settle` do the work and must be running; both bear the loss of the database. Every row
    that this consumer has is in `_held` until the database knows that it is settled, so that no more
    than `prefetch` are ever taken.
    """

    def __init__(
        self,
        pool: Pool,
        queues: Sequence[str],
        *,
        prefetch: int,
        consumer_id: UUID,
        poll_interval: timedelta,
    ) -> None:
        self._pool = pool
        self._queues = list(queues)
        self._prefetch = prefetch
        self._consumer_id = consumer_id
        self._poll_interval = poll_interval.total_seconds()

        self._arrivals = Arrivals[TakenMessage]()
        self._held: set[int] = set()
        self._out: set[int] = set()
        self._done: list[int] = []
        self._given_back: list[int] = []
        self._paused: Set[str] = frozenset()

        self._taking = asyncio.Lock()
        self._settling = asyncio.Lock()
        self._look = asyncio.Event()
        self._settled = asyncio.Event()
        self._may_have_more = True
        self._is_closing = False
        self._is_away = False

    async def deliveries(self) -> AsyncIterator[Delivery]:
        """Each message that was taken; ends when the inbox is closed."""
        while (message := await self._arrivals.take()) is not None:
            self._out.add(message.row_id)
            yield Delivery(message.envelope, redelivered=message.deliveries > 1, tag=message.row_id)

    def ack(self, delivery: Delivery) -> None:
        """The row goes, with the next batch."""
        self._settle_later(delivery, self._done)

    def give_back(self, delivery: Delivery) -> None:
        """The row is free, with the next batch."""
        self._settle_later(delivery, self._given_back)

    def _settle_later(self, delivery: Delivery, batch: list[int]) -> None:
        if delivery.tag not in self._out:
            log.debug("settled_before", message_id=str(delivery.envelope.id))
            return
        self._out.discard(delivery.tag)
        batch.append(delivery.tag)
        self._settled.set()

    def pause(self, queues: Set[str]) -> None:
        """Take nothing from these; what came from them and nobody has looked at is free, with the next batch."""
        self._paused = frozenset(queues)
        self._free(self._arrivals.remove(self._is_paused))
        self._look.set()

    def _is_paused(self, message: TakenMessage) -> bool:
        return message.envelope.queue in self._paused

    def _free(self, messages: Sequence[TakenMessage]) -> None:
        if messages:
            self._given_back.extend(message.row_id for message in messages)
            self._settled.set()

    def wake(self) -> None:
        """There may be new messages: look now."""
        self._look.set()

    async def take(self) -> None:
        """Take rows while there is room, until closed."""
        while not self._is_closing:
            self._look.clear()
            room = self._prefetch - len(self._held)
            if room > 0:
                await self._take(room)
            if room <= 0 or not self._may_have_more:
                await self._wait_for_a_reason_to_look()

    async def _take(self, room: int) -> None:
        async with self._taking:
            taken = await self._when_possible(lambda connection: self._take_rows(connection, room))
            self._may_have_more = len(taken) == room
            for message in taken:
                self._held.add(message.row_id)
                self._arrivals.put(message.envelope.priority, message)
            self._free(self._arrivals.remove(self._is_paused))
        self._queues.append(self._queues.pop(0))

    async def _take_rows(self, connection: Connection, room: int) -> list[TakenMessage]:
        if self._is_away:
            # A take may have been committed and its answer lost: such rows would be in no hands.
            await free_all_taken_but(connection, self._consumer_id, self._queues, self._held)
        open_queues = [queue for queue in self._queues if queue not in self._paused]
        return await take_messages(
            connection, open_queues, consumer_id=self._consumer_id, limit=room
        )

    async def _wait_for_a_reason_to_look(self) -> None:
        with suppress(TimeoutError):
            async with asyncio.timeout(self._poll_interval):
                await self._look.wait()

    async def settle(self) -> None:
        """Write down what is settled, all that came together at once, until cancelled."""
        while True:
            await self._settled.wait()
            self._settled.clear()
            await self._settle_batch()

    async def _settle_batch(self) -> None:
        async with self._settling:
            await self._settle_done()
            await self._settle_given_back()

    async def _settle_done(self) -> None:
        if rows := self._done[:]:
            await self._when_possible(
                lambda connection: delete_taken(connection, self._consumer_id, rows)
            )
            del self._done[: len(rows)]
            self._held.difference_update(rows)
            if self._may_have_more:
                self._look.set()

    async def _settle_given_back(self) -> None:
        # Not while rows are taken: one that is free could be ours again before it leaves `_held`.
        async with self._taking:
            if rows := self._given_back[:]:
                await self._when_possible(
                    lambda connection: free_taken(connection, self._consumer_id, rows)
                )
                del self._given_back[: len(rows)]
                self._held.difference_update(rows)
                self._look.set()

    async def close(self) -> None:
        """Take no more, and free what nobody iterated over; what is out can still be settled."""
        if self._is_closing:
            return
        self._is_closing = True
        self._look.set()
        try:
            async with asyncio.timeout(TIME_TO_END.total_seconds()):
                async with self._taking:
                    self._given_back.extend(one.row_id for one in self._arrivals.clear())
                await self._settle_batch()
        except TimeoutError:
            log.warning("inbox_closed_without_database", queues=self._queues)
        finally:
            self._arrivals.clear()
            self._arrivals.close()

    async def leave(self) -> None:
        """Write down what is settled, and free all else that was taken from these queues."""
        try:
            async with asyncio.timeout(TIME_TO_END.total_seconds()):
                await self._settle_batch()
                await self._when_possible(
                    lambda connection: free_all_taken_but(
                        connection, self._consumer_id, self._queues, ()
                    )
                )
        except TimeoutError:
            log.warning("acknowledgements_lost", messages=len(self._held), queues=self._queues)

    async def _when_possible(self, call: Callable[[Connection], Awaitable[T]]) -> T:
        async def act() -> T:
            try:
                async with self._pool.acquire() as connection:
                    answer = await call(connection)
            except Exception:
                self._is_away = True
                raise
            self._is_away = False
            return answer

        return await patiently("the inbox", act)
