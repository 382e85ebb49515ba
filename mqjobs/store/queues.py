"""Queues: what a consumer takes from the message table, gives back, and is done with; which of them are paused."""

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from datetime import datetime
from uuid import UUID

from mqjobs.model.message import Envelope
from mqjobs.model.priority import Priority
from mqjobs.store.database import Connection
from mqjobs.store.messages import envelope_of
from mqjobs.store.statements import statements

SQL = statements("queues")
MOST_URGENT_FIRST = sorted(Priority, reverse=True)


@dataclass(frozen=True, slots=True)
class TakenMessage:
    """A message that a consumer has; `deliveries` counts the times it was taken, this one too."""

    row_id: int
    envelope: Envelope
    deliveries: int


@dataclass(frozen=True, slots=True)
class QueueCounts:
    """What is in a queue: messages due and free, messages that consumers have; who consumes."""

    queue: str
    ready: int
    unacknowledged: int
    consumers: int


@dataclass(frozen=True, slots=True)
class Pause:
    """A queue that an operator has paused: since when, and who it was."""

    queue: str
    paused_at: datetime
    paused_by: str


async def bound_topics(connection: Connection, topics: Collection[str]) -> set[str]:
    """Those of the topics that some queue takes."""
    rows = await connection.fetch(SQL["bound_topics"], list(topics))
    return {row["topic"] for row in rows}


async def take_messages(
    connection: Connection, queues: Sequence[str], *, consumer_id: UUID, limit: int
) -> list[TakenMessage]:
    """At most `limit` messages that are due and free are this consumer's now, the most urgent first.

    Among equals the oldest; where the limit does not reach for all of a priority, the queues come in
    the order given. What another consumer is just taking is passed over.
    """
    slots = [(queue, int(priority)) for priority in MOST_URGENT_FIRST for queue in queues]
    rows = await connection.fetch(
        SQL["take_messages"],
        [queue for queue, _ in slots],
        [priority for _, priority in slots],
        consumer_id,
        limit,
    )
    rows.sort(key=lambda row: (-row["priority"], row["available_at"], row["id"]))
    return [TakenMessage(row["id"], envelope_of(row), row["deliveries"]) for row in rows]


async def delete_taken(connection: Connection, consumer_id: UUID, row_ids: Sequence[int]) -> None:
    """The messages are done and gone; one that is another's by now stays."""
    await connection.execute(SQL["delete_taken"], consumer_id, row_ids)


async def free_taken(connection: Connection, consumer_id: UUID, row_ids: Sequence[int]) -> None:
    """The messages are free for any consumer; one that is another's by now stays as it is."""
    await connection.execute(SQL["free_taken"], consumer_id, row_ids)


async def free_all_taken_but(
    connection: Connection, consumer_id: UUID, queues: Sequence[str], known: Collection[int]
) -> None:
    """What this consumer took from these queues is free again, but for the rows it knows of."""
    await connection.execute(SQL["free_all_taken_but"], consumer_id, queues, list(known))


async def queue_counts(connection: Connection, queues: Sequence[str]) -> list[QueueCounts]:
    """What is in these queues, in the order given; one unbound and empty is left out."""
    return [QueueCounts(*row) for row in await connection.fetch(SQL["queue_counts"], queues)]


async def pause(connection: Connection, queue: str, *, by: str) -> bool:
    """Consumers take nothing from this queue any more; whether they did before."""
    return await connection.fetchval(SQL["pause"], queue, by) is not None


async def resume(connection: Connection, queue: str) -> bool:
    """Consumers take from this queue again; whether it was paused."""
    return await connection.fetchval(SQL["resume"], queue) is not None


async def pauses(connection: Connection) -> list[Pause]:
    """The queues that are paused, by their names."""
    return [Pause(*row) for row in await connection.fetch(SQL["pauses"])]
