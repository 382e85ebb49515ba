"""A transport that stands in for a broker's answers: confirmed, returned, or none because it is away.

For tests of how we react to those answers. That real brokers give them is tested in tests/transport.
"""

from collections.abc import Awaitable, Callable, Sequence, Set
from contextlib import AbstractAsyncContextManager
from uuid import UUID

from mqjobs.model.errors import BrokerUnavailable
from mqjobs.model.message import Binding, Envelope
from mqjobs.model.tally import Tally
from mqjobs.transport.seam import Inbox, Publication, QueueState


class AnsweringTransport:
    """Takes note of what is published, and gives the answers that it was told to give."""

    needs_relay = True

    def __init__(self) -> None:
        self.published: list[Envelope] = []
        self.unroutable: set[str] = set()
        self.declared: list[Binding] = []
        self.tally = Tally()
        self.is_away = False
        self.calls = 0
        self.wakes = 0
        self.while_publishing: Callable[[], Awaitable[None]] | None = None

    def count_in(self, tally: Tally) -> None:
        """Take note."""
        self.tally = tally

    @property
    def is_connected(self) -> bool:
        """Unless it is away."""
        return not self.is_away

    def wake(self) -> None:
        """Take note."""
        self.wakes += 1

    async def declare(self, bindings: Sequence[Binding]) -> None:
        """Every queue is there; take note."""
        self.declared += bindings

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Publication]:
        """Confirm them all, but for topics that are unroutable; raise where the broker is away."""
        self.calls += 1
        if self.while_publishing is not None:
            await self.while_publishing()
        if self.is_away:
            raise BrokerUnavailable("the broker is away")
        self.published += [one for one in envelopes if one.topic not in self.unroutable]
        return [
            Publication.UNROUTABLE if one.topic in self.unroutable else Publication.CONFIRMED
            for one in envelopes
        ]

    def inbox(
        self,
        queues: Sequence[str],
        *,
        prefetch: int,
        consumer_id: UUID,
        paused: Set[str] = frozenset(),
    ) -> AbstractAsyncContextManager[Inbox]:
        """Nothing comes in from here."""
        raise NotImplementedError

    async def queue_states(self, queues: Sequence[str]) -> Sequence[QueueState]:
        """Nothing is known."""
        return []
