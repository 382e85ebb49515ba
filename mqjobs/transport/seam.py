"""The seam to what carries messages: what a transport does, whichever it is."""

from collections.abc import AsyncIterator, Sequence, Set
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Protocol
from uuid import UUID

from mqjobs.model.message import Binding, Envelope
from mqjobs.model.tally import Tally


class Publication(StrEnum):
    """What became of one message that was published."""

    CONFIRMED = "confirmed"
    UNROUTABLE = "unroutable"


@dataclass(frozen=True, slots=True, eq=False)
class Delivery:
    """One arrival of a message at a consumer; to be acknowledged or given back, once.

    `envelope.queue` is the queue that it came from. `redelivered` says that it may have been delivered before.
    `tag` is the transport's own.
    """

    envelope: Envelope
    redelivered: bool
    tag: Any


@dataclass(frozen=True, slots=True)
class QueueState:
    """How full a queue is: messages that wait, that consumers hold unacknowledged (None: not known), consumers."""

    name: str
    ready: int
    unacknowledged: int | None
    consumers: int


class Inbox(Protocol):
    """Where a consumer's deliveries come in; it outlives the loss of a connection."""

    def deliveries(self) -> AsyncIterator[Delivery]:
        """Each delivery once, as it comes; ends when the inbox is closed and has given back what nobody took."""
        ...

    def ack(self, delivery: Delivery) -> None:
        """The message is done. Sent in batches soon after; forgotten where the delivery's channel is gone."""
        ...

    def give_back(self, delivery: Delivery) -> None:
        """The message was not looked at: it goes back to its queue at once, for any consumer."""
        ...

    def pause(self, queues: Set[str]) -> None:
        """Nothing comes from these queues any more, and from all others of the inbox it does.

        What had come from them and was not yet iterated over is given back; what is out can still be settled.
        """
        ...

    async def close(self) -> None:
        """Take no more; what was delivered and not yet iterated over is given back."""
        ...


class Transport(Protocol):
    """What carries messages: opened by its own `open`, safe to use by many asyncio tasks."""

    @property
    def needs_relay(self) -> bool:
        """Whether messages in the outbox have to be published; else the outbox is the queue already."""
        ...

    def count_in(self, tally: Tally) -> None:
        """From now on what there is to count is counted here."""
        ...

    @property
    def is_connected(self) -> bool:
        """Whether messages can be published now, and come in where there is an inbox."""
        ...

    def wake(self) -> None:
        """Messages were written to the outbox: where that is the queue, inboxes look at once."""
        ...

    async def declare(self, bindings: Sequence[Binding]) -> None:
        """The queues are there, durable, and take these topics. Doing it again changes nothing."""
        ...

    async def publish(self, envelopes: Sequence[Envelope]) -> Sequence[Publication]:
        """Hand messages over and wait until each is confirmed or returned; answers in the order given.

        An envelope with a queue goes to that queue alone, one without to every queue bound to its topic.
        Raises BrokerUnavailable where that is not known of all: those may or may not have been taken.
        """
        ...

    def inbox(
        self,
        queues: Sequence[str],
        *,
        prefetch: int,
        consumer_id: UUID,
        paused: Set[str] = frozenset(),
    ) -> AbstractAsyncContextManager[Inbox]:
        """Take deliveries from these queues, at most `prefetch` unacknowledged at a time over all of them.

        Nothing comes from those that are paused from the beginning, until `pause` names others.
        Leaving the context sends what acknowledgements are pending and closes the inbox.
        """
        ...

    async def queue_states(self, queues: Sequence[str]) -> Sequence[QueueState]:
        """How full these queues are; one that is not there is left out."""
        ...
