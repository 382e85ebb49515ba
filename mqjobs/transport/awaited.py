"""A transport whose broker may still be away when it is opened: for producers, who have the outbox meanwhile."""

import asyncio
from collections.abc import AsyncIterator, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from datetime import timedelta
from uuid import UUID

import structlog

from mqjobs.model.errors import BrokerUnavailable, ConfigurationError
from mqjobs.model.message import Binding, Envelope
from mqjobs.model.tally import Tally
from mqjobs.transport.background import in_background
from mqjobs.transport.seam import Inbox, Publication, QueueState, Transport

log = structlog.get_logger(__name__)

PAUSE_AFTER_A_REFUSAL = timedelta(seconds=10)


@asynccontextmanager
async def awaited(
    opening: Callable[[], AbstractAsyncContextManager[Transport]], *, at_most: timedelta
) -> AsyncIterator["AwaitedTransport"]:
    """The transport, as soon as its broker is there; after so long without it, until it comes.

    Raises ConfigurationError where the broker is there by then, and refuses us.
    """
    transport = AwaitedTransport(opening)
    async with in_background(transport.open()):
        with suppress(TimeoutError):
            async with asyncio.timeout(at_most.total_seconds()):
                await transport.is_there.wait()
        transport.is_optional = True
        yield transport


class AwaitedTransport:
    """Passes on what is asked of it; raises BrokerUnavailable until there is a broker to ask."""

    needs_relay = True

    def __init__(self, opening: Callable[[], AbstractAsyncContextManager[Transport]]) -> None:
        self.is_there = asyncio.Event()
        self.is_optional = False
        self._opening = opening
        self._transport: Transport | None = None
        self._bindings: list[Binding] = []
        self._tally: Tally | None = None

    async def open(self) -> None:
        """Look for the broker until it is there; then stay open until cancelled."""
        while True:
            try:
                async with self._opening() as transport:
                    if self._bindings:
                        await transport.declare(self._bindings)
                    if self._tally is not None:
                        transport.count_in(self._tally)
                    self._transport = transport
                    self.is_there.set()
                    await asyncio.Event().wait()
            except BrokerUnavailable as error:
                log.debug("broker_still_away", error=str(error))
            except ConfigurationError as error:
                if not self.is_optional:
                    raise
                log.error("broker_refuses", error=str(error))
                await asyncio.sleep(PAUSE_AFTER_A_REFUSAL.total_seconds())

    @property
    def is_connected(self) -> bool:
        """Whether the broker has come, and is there now."""
        return self._transport is not None and self._transport.is_connected

    def count_in(self, tally: Tally) -> None:
        """From now on, or from its coming on."""
        self._tally = tally
        if self._transport is not None:
            self._transport.count_in(tally)

    def wake(self) -> None:
        """Nothing to do: the broker delivers what it gets."""

    async def declare(self, bindings: Sequence[Binding]) -> None:
        """Now, or before anything is published once the broker has come."""
        if self._transport is None:
            self._bindings += bindings
        else:
            await self._transport.declare(bindings)

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Publication]:
        """See `Transport.publish`."""
        return await self._now().publish(envelopes)

    def inbox(
        self,
        queues: Sequence[str],
        *,
        prefetch: int,
        consumer_id: UUID,
        paused: Set[str] = frozenset(),
    ) -> AbstractAsyncContextManager[Inbox]:
        """See `Transport.inbox`."""
        return self._now().inbox(queues, prefetch=prefetch, consumer_id=consumer_id, paused=paused)

    async def queue_states(self, queues: Sequence[str]) -> Sequence[QueueState]:
        """See `Transport.queue_states`."""
        return await self._now().queue_states(queues)

    def _now(self) -> Transport:
        if self._transport is None:
            raise BrokerUnavailable("RabbitMQ is away since before this app was opened")
        return self._transport
