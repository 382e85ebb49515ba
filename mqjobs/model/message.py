"""A message: one instance of a topic on its way."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from typing import Generic, Literal, TypeAlias, TypeVar, get_args
from uuid import UUID

from mqjobs.model.priority import Priority
from mqjobs.model.topic import Topic

BodyT = TypeVar("BodyT", bound=Topic, covariant=True)

DeadReason: TypeAlias = Literal[
    "unknown_topic",
    "no_processor",
    "invalid",
    "expired",
    "rejected",
    "failed",
    "unroutable",
    "crashed",
    "not_settled",
]
"""Why a message is a dead letter; docs/concepts.md says when."""
DEAD_REASONS: tuple[DeadReason, ...] = get_args(DeadReason)


@dataclass(frozen=True, slots=True)
class Message(Generic[BodyT]):
    """What a processor is handed: a checked body and what the message says of itself.

    `id` stays the same however often the message comes; `attempt` counts its arrivals that ran, the first is 1.
    `job_id` is set where the message asks for a delayed child. Times are UTC, by the database's clock.
    """

    id: UUID
    topic: str
    body: BodyT
    priority: Priority
    headers: Mapping[str, str]
    sent_at: datetime
    attempt: int
    job_id: int | None


@dataclass(frozen=True, slots=True)
class Envelope:
    """A message as it travels: the body is JSON text in bytes, not looked into.

    `queue` is the one queue it goes to, or None: to every queue that is bound to the topic. `delay` counts from
    when it is written down. `expires_at` is the moment after which nobody may act on it. `crashes` counts the consumers
    that are known to have died while they acted on it.
    """

    id: UUID
    topic: str
    body: bytes
    priority: Priority
    sent_at: datetime
    queue: str | None = None
    headers: Mapping[str, str] = field(default_factory=dict)
    attempt: int = 1
    job_id: int | None = None
    expires_at: datetime | None = None
    delay: timedelta = timedelta(0)
    crashes: int = 0

    def again(self, queue: str, delay: timedelta, *, attempt: int) -> "Envelope":
        """The copy of this message that comes to this queue later."""
        return replace(self, queue=queue, delay=delay, attempt=attempt, crashes=0)


@dataclass(frozen=True, slots=True)
class Outgoing:
    """A body with how it is to be sent, where several are handed over at once.

    What is left out comes from the topic. `delay` and `expires_in` are timedeltas or seconds, from now.
    """

    body: Topic
    priority: Priority | None = None
    delay: timedelta | float = 0
    expires_in: timedelta | float | None = None
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Sent:
    """What became of a message that was to be sent.

    Where `blocked_by` is set, an active root job (that id) has the name already and nothing was sent.
    `job_id` is the root that was born with the message of a job-aware topic.
    """

    message_id: UUID
    job_id: int | None = None
    blocked_by: int | None = None


@dataclass(frozen=True, slots=True)
class Binding:
    """A queue that takes a topic's messages."""

    queue: str
    topic: str
