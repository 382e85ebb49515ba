"""What the RabbitMQ transport needs of its driver, and nothing of the driver itself."""

from collections.abc import Callable, Mapping
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Any, Protocol

from mqjobs.transport.amqp_envelope import Received


class Refused(Exception):
    """The broker refused what was asked of it, and closed the channel; the text is the broker's."""


class NotThere(Refused):
    """The queue or exchange is not there."""


class DeclaredOtherwise(Refused):
    """The queue or exchange is there, with other arguments."""


class Unwritable(Exception):
    """AMQP cannot carry these properties: too long, too large, or not text."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """A message as a channel delivered it."""

    received: Received
    tag: int
    redelivered: bool


class Channel(Protocol):
    """One channel of one connection; what is done on it raises BrokerUnavailable when it is gone."""

    @property
    def is_closed(self) -> bool:
        """Whether the channel is gone, for good."""
        ...

    def when_closed(self, tell: Callable[[], None]) -> None:
        """Tell when the channel is gone, now where it is gone already."""
        ...

    async def close(self) -> None:
        """The channel is gone; what was sent on it before has reached the broker."""
        ...

    async def check_listening(self) -> None:
        """Raises BrokerUnavailable where the broker takes no messages for now."""
        ...

    async def declare_exchange(self, exchange: str) -> None:
        """A durable direct exchange is there."""
        ...

    async def declare_queue(self, queue: str, arguments: Mapping[str, Any]) -> None:
        """A durable queue is there."""
        ...

    async def bind(self, queue: str, exchange: str, routing_key: str) -> None:
        """The queue gets what goes to the exchange under this key."""
        ...

    async def count(self, queue: str) -> tuple[int, int]:
        """Messages that are ready, and consumers."""
        ...

    async def purge(self, queue: str) -> int:
        """Throw away what is ready; how many those were."""
        ...

    async def publish(
        self, exchange: str, routing_key: str, properties: Mapping[str, Any], body: bytes
    ) -> bool:
        """Whether a queue has the message: confirmed, or returned. Raises Unwritable before it is sent."""
        ...

    async def limit(self, prefetch: int) -> None:
        """Each consumer from now on has at most so many unacknowledged."""
        ...

    async def consume(
        self, queue: str, consumer_tag: str, deliver: Callable[[Arrival], None]
    ) -> None:
        """Deliver what comes, in order."""
        ...

    def when_cancelled(self, tell: Callable[[str], None]) -> None:
        """Tell the tag of each consumer that the broker ends, for the queue is gone or else."""
        ...

    async def cancel(self, consumer_tag: str) -> None:
        """Nothing is delivered under this tag after this."""
        ...

    async def ack(self, tag: int, *, multiple: bool = False) -> None:
        """The delivery is done, or all up to it."""
        ...

    async def give_back(self, tag: int) -> None:
        """The delivery goes back to its queue."""
        ...


class Connection(Protocol):
    """A connection to the broker that is made again whenever it is lost."""

    def kept(self) -> AbstractAsyncContextManager[None]:
        """Connected, and connected again whenever the connection is lost, until the end of the block."""
        ...

    async def is_there(self) -> None:
        """Returns as soon as there is a connection."""
        ...

    async def open_channel(self, *, confirms: bool = False) -> Channel:
        """A new channel; BrokerUnavailable where there is no connection."""
        ...

    def channel(self) -> AbstractAsyncContextManager[Channel]:
        """A new channel, until the end of the block; BrokerUnavailable where there is none."""
        ...
